//! The dated rules: data files with source and date, read once.

/// stub
pub fn working_days() -> &'static attestd_core::obligation::WorkingDays {
    static W: std::sync::LazyLock<attestd_core::obligation::WorkingDays> =
        std::sync::LazyLock::new(Default::default);
    &W
}
/// stub
pub fn versions() -> std::collections::BTreeMap<String, String> {
    Default::default()
}
