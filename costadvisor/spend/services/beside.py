"""Commands of `manage.py` run beside the web process, in processes whose memory ends with them."""

import subprocess
import sys

from django.conf import settings


def run_beside(command: str, *arguments: str) -> None:
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py"), command, *arguments]
    subprocess.Popen(manage, start_new_session=True, stdin=subprocess.DEVNULL)
