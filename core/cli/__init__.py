"""The command line: the same engines as the dashboard, in this process, without a browser."""
