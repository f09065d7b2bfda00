"""The pages of spend: `bills` from a file to the overview, `pulls` bills fetched by a key."""
