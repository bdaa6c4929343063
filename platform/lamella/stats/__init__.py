"""Statistics on sufficient statistics: typed functions of Moments, without store, web or models."""
