"""Step 7: the label fetched, looked at, and printed where that was told."""

from agent.domain.errors import AgentError
from agent.domain.label import LabelCheck, LabelPrint, PrintEnd
from agent.domain.order import Dossier, Order
from agent.workflow import submission
from agent.workflow.shop import Shop


async def fetched(order: Order, shop: Shop) -> Dossier:
    """With the label, and with what the marketplace says of the parcel by now. Refused with code label_not_ready or no_label."""
    remote = await shop.marketplace(order.marketplace).order(submission.remote_of(order).order_id)
    current = order.model_copy(update={"dossier": order.dossier.model_copy(update={"remote": remote})})
    sha256 = await submission.fetch_label(current, shop)
    return current.dossier.model_copy(update={"label_sha256": sha256})


async def told(order: Order, shop: Shop) -> str:
    """What a person is asked to do with it. May be called again: nothing is printed twice.

    Where the file is says whoever shows this: a page by a link, a terminal by its path.
    """
    sha256 = order.dossier.label_sha256
    path = shop.store.path(sha256)
    by_hand = "Print the label."
    if shop.labels is None:
        return by_hand
    check = await shop.labels.check(path, submission.remote_of(order).shipping)
    try:
        printed = await shop.labels.print_by_itself(order.id, path, sha256, check)
    except AgentError as error:
        return f"The label could not be printed: {error.told()} {by_hand} {check.told}"
    return f"{by_hand} {check.told}" if printed is None else _told_print(printed, check, by_hand)


def _told_print(printed: LabelPrint, check: LabelCheck, by_hand: str) -> str:
    match printed.end:
        case PrintEnd.COMPLETED:
            return f"The label was printed on {printed.queue}: see that it is good. {check.told}"
        case PrintEnd.WAITING:
            return f"The label waits in {printed.queue} as job {printed.job}: {printed.why}. {check.told}"
        case PrintEnd.FAILED:
            return f"The label was not printed on {printed.queue}: {printed.why}. {by_hand} {check.told}"
