"""The command line: `shardlake`. `main.py` is where the environment is read; nothing heavier than typer is imported
before a command needs it, so that `shardlake --help` is quick."""
