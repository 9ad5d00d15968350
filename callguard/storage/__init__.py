"""The database: schema, migrations, and the journal through which call-time writes go."""
