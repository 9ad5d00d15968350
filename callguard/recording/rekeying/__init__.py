"""New keys for what is there: rotation of identities, headers written anew, destruction."""
