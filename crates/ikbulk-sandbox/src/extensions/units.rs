//! What the run of an extension costs.

/// Units of one run, by extension. The API bills runs when they are requested, also those that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionUnits {
    /// Of aws-auto-tagging.
    pub aws_auto_tagging: u64,
    /// Of google-auto-tagging.
    pub google_auto_tagging: u64,
    /// Of remove-bg.
    pub remove_bg: u64,
    /// Of ai-auto-description. The API does not document it: the default is made up, and a client has
    /// to measure it.
    pub ai_auto_description: u64,
    /// Of ai-tasks, whatever the number of tasks. Made up like [`Self::ai_auto_description`].
    pub ai_tasks: u64,
}

impl Default for ExtensionUnits {
    fn default() -> Self {
        Self {
            aws_auto_tagging: 1,
            google_auto_tagging: 2,
            remove_bg: 130,
            ai_auto_description: 3,
            ai_tasks: 7,
        }
    }
}

impl ExtensionUnits {
    /// Units of one run of the extension with this name; 0 for unknown names.
    #[must_use]
    pub fn of(&self, extension: &str) -> u64 {
        match extension {
            "aws-auto-tagging" => self.aws_auto_tagging,
            "google-auto-tagging" => self.google_auto_tagging,
            "remove-bg" => self.remove_bg,
            "ai-auto-description" => self.ai_auto_description,
            "ai-tasks" => self.ai_tasks,
            _ => 0,
        }
    }
}
