"""``python -m callguard`` is the ``callguard`` command."""

from callguard.cli import main

main()
