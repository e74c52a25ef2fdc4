"""Photos that are on their way or wait to be handed in, kept durably. Their bytes lie in files; here is how many of them count."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from agent.domain.upload import NewUpload, Upload


class Uploads(Protocol):
    """Every method is one transaction, and raises as those of the ledger do."""

    def begin_upload(self, upload_id: str, new: NewUpload) -> Upload:
        """Begun now under that id, or found under the order and the phone's key. Refused (too_many_photos, too_much_on_the_way) beyond the
        limits of agent.domain.upload; (key_taken) where the key was used for another photo."""
        ...

    def upload(self, upload_id: str) -> Upload | None:
        """None where there is none, and where it was put away."""
        ...

    def uploads(self, order_id: str) -> Sequence[Upload]:
        """Of that order, in the order they were begun; without those that were put away."""
        ...

    def unfinished_uploads(self) -> Sequence[Upload]:
        """All that were not looked at yet, whoever's they are."""
        ...

    def note_received(self, upload: Upload, received: int) -> Upload:
        """So many bytes are on the disk now. Stale where another number was noted meanwhile."""
        ...

    def note_checked(self, upload: Upload, found: Mapping[str, Any]) -> Upload:
        """What looking at the photo found. Stale where it was put away meanwhile."""
        ...

    def put_away(self, upload_ids: Collection[str]) -> None:
        """They are not of use any more: handed in, removed, given up, or of parts that are printed again."""
        ...
