"""Alembic's entry: migrates on the connection that callguard hands over."""

from alembic import context

from callguard.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
