"""An installation in a folder of its own (COSTADVISOR_VAR) whose clocks run faster. FAKE_ENGINE replaces the engine."""

import os

from costadvisor.settings.testing import *  # noqa: F403

CALIBRATION_HEARTBEAT_S = 0.3
CALIBRATION_LEASE_S = 4
CALIBRATION_GRACE_S = 2
CALIBRATION_REAP_EVERY_S = 1
CALIBRATION_RESEND_S = 3
if "FAKE_ENGINE" in os.environ:
    CALIBRATION_COMMAND = os.environ["FAKE_ENGINE"].split(os.pathsep)
