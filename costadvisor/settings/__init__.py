"""Settings: `development` (needs no environment variables), `production` (refuses to start half set up), `testing`."""
