"""What the tests run under: development with DEBUG off and cheap password hashes."""

from costadvisor.settings.development import *

DEBUG = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
