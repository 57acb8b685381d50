"""Redis, and what a command needs on its way there. Nothing here knows messages or layers."""
