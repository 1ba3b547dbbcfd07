"""Pictures: read, restored and written, with what else their files say."""
