//! The Open vSwitch database management protocol (RFC 7047): data, schema, transactions, monitors, the log file.
