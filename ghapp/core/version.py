"""Which release of Kedge this is, for app, runner and package alike."""

VERSION = "0.1.0"
