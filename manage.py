#!/usr/bin/env python
"""Django's command line for costadvisor. Without environment variables it runs in development mode."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costadvisor.settings.development")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(f"costadvisor cannot start: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
