"""What has a short name: pinned models and protocols of audits, both kept as data."""
