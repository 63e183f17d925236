//! Ways of looking that kinds share, each bounded by named limits.
