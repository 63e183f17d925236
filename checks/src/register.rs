//! The supplier's own register of dated obligations and holdings: CSV or TOML, a row a target.
