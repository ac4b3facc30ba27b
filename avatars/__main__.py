"""`python -m avatars` is the same as `avatars`."""

from .cli import main

if __name__ == "__main__":
    main()
