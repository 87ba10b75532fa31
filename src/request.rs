//! One API request: the call, its files, the steps of rows that it completes, and whether it is
//! idempotent.
//!
//! [`Request::new`] alone decides whether a request is idempotent; from there on its type tells. An
//! [`Idempotent`] request can be re-sent. Sending consumes an [`AtMostOnce`] request, and it is
//! returned only if it certainly had no effect. If its response was lost, a [`LostResponse`]
//! remains: the steps, and the idempotent part of the body.

use crate::bit_set::{BitSet, Member};
use crate::row::{
    AiTagRemoval, Details, Extensions, FieldSet, FileField, FileId, Publish, Set, Tags, WebhookUrl,
};
use crate::sent::Sent;

/// What one row needs of one request; the unit that is recorded. A row's steps are executed in this
/// order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// PATCH of the file's details.
    Details = 0,
    /// The idempotent part of a details step whose response was lost.
    DetailsWithoutExtensions = 1,
    /// Removes AI tags by a bulk call: those of a row that needs no PATCH.
    RemoveAiTags = 2,
    /// Removes some of the tags; another `removeTags` call follows.
    RemoveTagsPart = 3,
    /// Removes tags. Comes before adding, to stay within ImageKit's limit on total length.
    RemoveTags = 4,
    /// Adds some of the tags; another `addTags` call follows.
    AddTagsPart = 5,
    /// Adds tags.
    AddTags = 6,
    /// Sets the publication status: a separate PATCH, because the API accepts no other field beside
    /// it.
    Publish = 7,
    /// Reads the file again at the end of the run, for a [`ReadBackReason`]. No row requests it; it
    /// belongs to the last row that changed the file.
    ReadBack = 8,
}

impl StepKind {
    /// Every kind, in execution order.
    pub const ALL: [Self; 9] = [
        Self::Details,
        Self::DetailsWithoutExtensions,
        Self::RemoveAiTags,
        Self::RemoveTagsPart,
        Self::RemoveTags,
        Self::AddTagsPart,
        Self::AddTags,
        Self::Publish,
        Self::ReadBack,
    ];

    /// The name in text for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Details => "details",
            Self::DetailsWithoutExtensions => "details without extensions",
            Self::RemoveAiTags => "remove AI tags",
            Self::RemoveTagsPart => "remove some tags",
            Self::RemoveTags => "remove tags",
            Self::AddTagsPart => "add some tags",
            Self::AddTags => "add tags",
            Self::Publish => "publish",
            Self::ReadBack => "read back",
        }
    }

    /// Whether the step is an `addTags` or `removeTags` call.
    #[must_use]
    pub fn is_tags(self) -> bool {
        matches!(self, Self::RemoveTagsPart | Self::RemoveTags | Self::AddTagsPart | Self::AddTags)
    }

    /// The step that this kind is a part of. A successful part does not count as a step of the row;
    /// a failed part fails the whole step.
    #[must_use]
    pub fn part_of(self) -> Option<Self> {
        match self {
            Self::RemoveTagsPart => Some(Self::RemoveTags),
            Self::AddTagsPart => Some(Self::AddTags),
            _ => None,
        }
    }

    /// The inverse of [`Self::part_of`].
    #[must_use]
    pub fn part(self) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.part_of() == Some(self))
    }

    /// The endpoint of the step's requests.
    #[must_use]
    pub fn endpoint(self) -> Endpoint {
        match self {
            Self::Details | Self::DetailsWithoutExtensions | Self::Publish => Endpoint::Patch,
            Self::RemoveAiTags => Endpoint::RemoveAiTags,
            Self::RemoveTagsPart | Self::RemoveTags => Endpoint::RemoveTags,
            Self::AddTagsPart | Self::AddTags => Endpoint::AddTags,
            Self::ReadBack => Endpoint::GetDetails,
        }
    }
}

impl Member for StepKind {
    const MEMBERS: &'static [Self] = &Self::ALL;

    fn index(self) -> usize {
        self as usize
    }
}

/// A set of step kinds.
pub(crate) type StepSet = BitSet<StepKind>;

/// One step of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepRef {
    /// The row number, as in [`crate::row::RowPos::number`].
    pub row: u64,
    /// The step of that row.
    pub kind: StepKind,
}

/// An API call and its parameters, without the files.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// `PATCH /v1/files/{fileId}/details` with fields.
    Details(Box<Patch>),
    /// `PATCH /v1/files/{fileId}/details` with `publish`.
    Publish(Publish),
    /// `POST /v1/files/addTags`.
    AddTags(Tags),
    /// `POST /v1/files/removeTags`.
    RemoveTags(Tags),
    /// `POST /v1/files/removeAITags`.
    RemoveAiTags(Tags),
    /// `GET /v1/files/{fileId}/details`, compared with the expected state.
    ReadBack(Box<Expected>),
}

/// The fields of a details PATCH. `None` leaves a field unchanged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Patch {
    /// Replaces all tags.
    pub tags: Option<Set<Tags>>,
    /// AI tags to remove, before any extension runs.
    pub remove_ai_tags: Option<AiTagRemoval>,
    /// Fields to set or clear.
    pub details: Details,
    /// Extensions to run.
    pub extensions: Option<Extensions>,
    /// Receives the extensions' final status.
    pub webhook_url: Option<WebhookUrl>,
}

impl Patch {
    /// Whether the patch changes nothing. A webhook URL alone changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { tags, remove_ai_tags, details, extensions, webhook_url: _ } = self;
        tags.is_none() && remove_ai_tags.is_none() && details.is_empty() && extensions.is_none()
    }

    /// The fields that it sets itself.
    #[must_use]
    pub fn fields(&self) -> FieldSet {
        self.details.fields().union(FieldSet::from([
            (FileField::Tags, self.tags.is_some()),
            (FileField::AiTags, self.remove_ai_tags.is_some()),
        ]))
    }

    /// The fields that its extensions may write.
    #[must_use]
    pub fn extension_fields(&self) -> FieldSet {
        self.extensions.as_ref().map(Extensions::writes).unwrap_or_default()
    }

    /// Takes the removal of named AI tags out of a patch that changes nothing else, for a bulk call.
    pub fn take_bulk_ai_tags(&mut self) -> Option<Tags> {
        let removal = self.remove_ai_tags.as_ref()?;
        let is_alone = self.extensions.is_none() && self.fields() == FileField::AiTags.into();
        let tags = removal.as_bulk().filter(|_| is_alone)?;
        self.remove_ai_tags = None;
        Some(tags)
    }

    /// Whether an at-most-once patch has fields that may be re-sent after its response was lost.
    #[must_use]
    pub fn has_idempotent_part(&self) -> bool {
        self.extensions.is_some() && !self.clone().idempotent_part().is_empty()
    }

    /// The part that may be re-sent after the response was lost: no extensions, and no field that
    /// one of the extensions may have written meanwhile, since re-sending would overwrite a billed
    /// result.
    fn idempotent_part(self) -> Self {
        let written = self.extension_fields();
        if self.extensions.is_none() {
            return self;
        }
        let keeps = |field| !written.contains(field);
        Self {
            tags: self.tags.filter(|_| keeps(FileField::Tags)),
            remove_ai_tags: self.remove_ai_tags.filter(|_| keeps(FileField::AiTags)),
            details: self.details.only(keeps),
            extensions: None,
            webhook_url: None,
        }
    }
}

/// The state that a file must have after all accepted requests. Absent fields are not checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The fields as last set.
    pub details: Details,
    /// All tags of the file, in any order; `None` if not all are known.
    pub tags: Option<Vec<String>>,
    /// Tags that the file must have, if not all are known.
    pub tags_added: Vec<String>,
    /// Tags that the file must not have, if not all are known.
    pub tags_removed: Vec<String>,
    /// AI tags that the file must not have.
    pub ai_tags_removed: Vec<String>,
    /// The publication status.
    pub publish: Option<Publish>,
    /// Why the file is read back.
    pub reason: ReadBackReason,
}

/// Why a file is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBackReason {
    /// The response to the request of this row was lost: it may have taken effect after the others.
    LostResponse(u64),
    /// The file is in the sample of those that a bulk call updated.
    Sample,
    /// A first read of a sampled file did not show the change.
    Confirmation,
}

/// API endpoints. A 429 throttles one endpoint, not the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `PATCH /v1/files/{fileId}/details`, including `publish`.
    Patch = 0,
    /// `POST /v1/files/addTags`.
    AddTags = 1,
    /// `POST /v1/files/removeTags`.
    RemoveTags = 2,
    /// `POST /v1/files/removeAITags`.
    RemoveAiTags = 3,
    /// `GET /v1/files/{fileId}/details`.
    GetDetails = 4,
    /// `GET /v1/files`, including probes.
    List = 5,
    /// `GET /v1/customMetadataFields`.
    MetadataFields = 6,
    /// `GET /v1/saved-extensions`.
    SavedExtensions = 7,
    /// `GET /v1/accounts/usage` and `GET /v1/accounts/usage-analytics`.
    Usage = 8,
}

impl Endpoint {
    /// Every endpoint, by discriminant.
    pub const ALL: [Self; 9] = [
        Self::Patch,
        Self::AddTags,
        Self::RemoveTags,
        Self::RemoveAiTags,
        Self::GetDetails,
        Self::List,
        Self::MetadataFields,
        Self::SavedExtensions,
        Self::Usage,
    ];

    /// The account's rate limit that the endpoint counts against.
    #[must_use]
    pub fn budget(self) -> BudgetKind {
        match self {
            Self::Patch | Self::AddTags | Self::RemoveTags | Self::RemoveAiTags => {
                BudgetKind::Writes
            }
            Self::GetDetails
            | Self::List
            | Self::MetadataFields
            | Self::SavedExtensions
            | Self::Usage => BudgetKind::Reads,
        }
    }

    /// The name in logs and progress output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "PATCH details",
            Self::AddTags => "POST addTags",
            Self::RemoveTags => "POST removeTags",
            Self::RemoveAiTags => "POST removeAITags",
            Self::GetDetails => "GET details",
            Self::List => "GET files",
            Self::MetadataFields => "GET customMetadataFields",
            Self::SavedExtensions => "GET saved-extensions",
            Self::Usage => "GET usage",
        }
    }
}

/// ImageKit limits writes and reads separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BudgetKind {
    /// Requests that change a file.
    Writes = 0,
    /// All other requests.
    Reads = 1,
}

/// Maximum files per bulk call, from ImageKit's API description.
pub(crate) const BULK_FILES_MAX: usize = 50;

/// A request that has not been sent.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// May be re-sent.
    Idempotent(Idempotent),
    /// Must not be re-sent.
    AtMostOnce(AtMostOnce),
}

/// A request that has the same effect however often it is executed.
#[derive(Debug, PartialEq)]
pub struct Idempotent(Contents);

/// A request whose every execution has an effect: extensions are billed each time, unpublishing
/// purges caches. Not `Clone`; sending consumes it.
#[derive(Debug, PartialEq)]
pub struct AtMostOnce(Contents);

#[derive(Debug, PartialEq)]
struct Contents {
    call: Call,
    /// The file of each step: a file with several steps is repeated.
    files: Box<[FileId]>,
    steps: Box<[StepRef]>,
    /// One request per row, to send if this one is rejected; empty if there is only one row.
    fallback: Box<[Idempotent]>,
}

/// What remains of an [`AtMostOnce`] request whose response was lost.
#[derive(Debug, PartialEq)]
pub struct LostResponse {
    /// Steps with unknown outcome.
    pub steps: Box<[StepRef]>,
    /// The file of each step.
    pub files: Box<[FileId]>,
    /// The idempotent part of the body, which completes [`StepKind::DetailsWithoutExtensions`].
    pub remainder: Option<Idempotent>,
}

impl Request {
    /// Makes a request, and is the only place that decides whether it is idempotent. `files` holds
    /// the file of each step.
    #[must_use]
    pub fn new(call: Call, files: Box<[FileId]>, steps: Box<[StepRef]>) -> Self {
        let is_idempotent = match &call {
            Call::Details(patch) => patch.extensions.is_none(),
            Call::Publish(_) => false,
            Call::AddTags(_) | Call::RemoveTags(_) | Call::RemoveAiTags(_) | Call::ReadBack(_) => {
                true
            }
        };
        let contents = Contents { call, files, steps, fallback: Box::default() };
        if is_idempotent {
            Self::Idempotent(Idempotent(contents))
        } else {
            Self::AtMostOnce(AtMostOnce(contents))
        }
    }

    /// A request on one file; `None` without steps.
    #[must_use]
    pub fn of_file(call: Call, file: &FileId, steps: Vec<StepRef>) -> Option<Self> {
        let files = vec![file.clone(); steps.len()];
        (!steps.is_empty()).then(|| Self::new(call, files.into(), steps.into()))
    }

    fn contents(&self) -> &Contents {
        match self {
            Self::Idempotent(Idempotent(contents)) | Self::AtMostOnce(AtMostOnce(contents)) => {
                contents
            }
        }
    }

    /// The API call.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.contents().call
    }

    /// The file of each step: a file with several steps is repeated.
    #[must_use]
    pub fn files(&self) -> &[FileId] {
        &self.contents().files
    }

    /// The steps that the request completes.
    #[must_use]
    pub fn steps(&self) -> &[StepRef] {
        &self.contents().steps
    }

    /// The endpoint of the call.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.call().endpoint()
    }
}

impl Call {
    /// The fields that the call sets itself.
    #[must_use]
    pub fn fields(&self) -> FieldSet {
        match self {
            Self::Details(patch) => patch.fields(),
            Self::AddTags(_) | Self::RemoveTags(_) => FileField::Tags.into(),
            Self::RemoveAiTags(_) => FileField::AiTags.into(),
            Self::Publish(_) => FileField::Publication.into(),
            Self::ReadBack(_) => FieldSet::default(),
        }
    }

    /// The fields that its extensions may write.
    #[must_use]
    pub fn extension_fields(&self) -> FieldSet {
        match self {
            Self::Details(patch) => patch.extension_fields(),
            _ => FieldSet::default(),
        }
    }

    /// What the call carries.
    #[must_use]
    pub fn sent(&self) -> Sent {
        let extensions = match self {
            Self::Details(patch) => patch.extensions.as_ref(),
            _ => None,
        };
        Sent::new(self.fields(), extensions)
    }

    /// Whether the call changes files.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.endpoint().budget() == BudgetKind::Writes
    }

    /// The endpoint of the call.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Details(_) | Self::Publish(_) => Endpoint::Patch,
            Self::AddTags(_) => Endpoint::AddTags,
            Self::RemoveTags(_) => Endpoint::RemoveTags,
            Self::RemoveAiTags(_) => Endpoint::RemoveAiTags,
            Self::ReadBack(_) => Endpoint::GetDetails,
        }
    }
}

/// The common interface of [`Idempotent`] and [`AtMostOnce`].
pub(crate) trait Sendable {
    /// The API call.
    fn call(&self) -> &Call;
    /// The file of each step: a file with several steps is repeated.
    fn files(&self) -> &[FileId];
    /// The steps that the request completes.
    fn steps(&self) -> &[StepRef];
}

macro_rules! sendable {
    ($($request:ty),*) => {$(
        impl Sendable for $request {
            fn call(&self) -> &Call {
                &self.0.call
            }
            fn files(&self) -> &[FileId] {
                &self.0.files
            }
            fn steps(&self) -> &[StepRef] {
                &self.0.steps
            }
        }
    )*};
}
sendable!(Idempotent, AtMostOnce);

impl Request {
    /// Sets the requests to send in this order if this one is rejected: one per row.
    pub fn set_fallback(&mut self, rows: Vec<Idempotent>) {
        match self {
            Self::Idempotent(Idempotent(contents)) | Self::AtMostOnce(AtMostOnce(contents)) => {
                contents.fallback = rows.into();
            }
        }
    }
}

impl Idempotent {
    /// The requests to send if this one is rejected, one per row; empty if there is only one row.
    #[must_use]
    pub fn into_fallback(self) -> Vec<Self> {
        self.0.fallback.into_vec()
    }

    /// Whether the request can be sent row by row.
    #[must_use]
    pub fn has_fallback(&self) -> bool {
        !self.0.fallback.is_empty()
    }

    /// Splits the request into the call, the file of each step, and the steps.
    #[must_use]
    pub fn into_parts(self) -> (Call, Box<[FileId]>, Box<[StepRef]>) {
        let Contents { call, files, steps, .. } = self.0;
        (call, files, steps)
    }

    /// The same call for the selected steps; `None` if none is selected.
    #[must_use]
    pub fn part(&self, is_selected: impl Fn(&FileId, StepRef) -> bool) -> Option<Self> {
        let Contents { call, files, steps, .. } = &self.0;
        let selected = files.iter().zip(steps).filter(|(file, step)| is_selected(file, **step));
        let (files, steps): (Vec<_>, Vec<_>) =
            selected.map(|(file, step)| (file.clone(), *step)).unzip();
        let call = call.clone();
        let (files, steps, fallback) = (files.into(), steps.into_boxed_slice(), Box::default());
        (!steps.is_empty()).then_some(Self(Contents { call, files, steps, fallback }))
    }

    /// The same call for each half of the files; `None` for a single file.
    #[must_use]
    pub fn halves(&self) -> Option<[Self; 2]> {
        let mut files: Vec<&FileId> = self.0.files.iter().collect();
        files.sort_unstable();
        files.dedup();
        let first = files.get(files.len() / 2)?;
        Some([self.part(|file, _| file < first)?, self.part(|file, _| file >= first)?])
    }
}

impl AtMostOnce {
    /// The extensions that the request runs.
    #[must_use]
    pub fn extensions(&self) -> Option<&Extensions> {
        match &self.0.call {
            Call::Details(patch) => patch.extensions.as_ref(),
            _ => None,
        }
    }

    /// Marks the response as lost: the request may have taken effect, or still may later.
    #[must_use]
    pub fn lost(self) -> LostResponse {
        let Contents { call, files, steps, .. } = self.0;
        let remainder = match call {
            Call::Details(patch) => Some(patch.idempotent_part()).filter(|patch| !patch.is_empty()),
            _ => None,
        };
        let remainder = remainder.map(|patch| {
            let steps = steps
                .iter()
                .map(|step| StepRef { kind: StepKind::DetailsWithoutExtensions, ..*step });
            let (call, files) = (Call::Details(Box::new(patch)), files.clone());
            Idempotent(Contents { call, files, steps: steps.collect(), fallback: Box::default() })
        });
        LostResponse { steps, files, remainder }
    }
}

impl Request {
    /// The idempotent part of a details step whose response was lost in an earlier session, rebuilt
    /// from the row. Equals the remainder that [`AtMostOnce::lost`] returned then.
    #[must_use]
    pub fn remainder(self) -> Option<Idempotent> {
        match self {
            Self::Idempotent(_) => None,
            Self::AtMostOnce(once) => once.lost().remainder,
        }
    }
}
