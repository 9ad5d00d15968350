"""What a tenant knows of the people it calls: where they are, how they stand to it, what they
agreed to."""
