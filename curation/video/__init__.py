"""Raw videos: found, fetched and decoded, upright and in SDR. Read ``decode.py`` first."""
