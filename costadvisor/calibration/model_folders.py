"""Which models may be calibrated: folders that the operator listed, or those under `var/models`."""

from pathlib import Path

from django.conf import settings


def model_folders() -> dict[str, Path]:
    """By name. A job keeps the name only, so that nothing but a listed folder can ever be opened."""
    listed = settings.CALIBRATION_MODELS
    folders = (settings.VAR_DIR / "models").glob("*") if listed is None else listed
    return {folder.name: folder for folder in sorted(folders) if (folder / "config.json").is_file()}
