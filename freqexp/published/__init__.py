"""Published numbers beside runs of the same settings: tables, figures and claims."""
