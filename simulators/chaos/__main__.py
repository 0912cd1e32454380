"""``python -m simulators.chaos [--kills N]``: play a plan, show progress, print a table."""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from simulators.chaos.callers import Caller
from simulators.chaos.plan import Plan, make_plan
from simulators.chaos.report import table
from simulators.chaos.run import Outcome, Run

QUIET_S = 5.0


class Progress:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._last_s = 0.0

    def show(self, outcome: Outcome, callers: list[Caller]) -> None:
        """Say how far it is, not too often."""
        now_s = time.monotonic() - self._began_s
        if now_s - self._last_s < QUIET_S and outcome.kill_count < outcome.plan.kills:
            return
        self._last_s = now_s
        said = sum(len(caller.book.said) for caller in callers)
        stuck = sum(len(caller.book.violations) for caller in callers)
        print(
            f"  {now_s:6.0f} s  {outcome.kill_count}/{outcome.plan.kills} kills"
            f"  {said} utterances" + (f"  {stuck} stuck" if stuck else ""),
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description="Kill everything, lose nothing.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--callers", type=int, default=20, help="conversations at once")
    parser.add_argument("--seed", type=int, default=None, help="the same seed, the same plan")
    parser.add_argument(
        "--durability", choices=["process", "power", "acknowledged"], default="process"
    )
    parser.add_argument(
        "--without-outbox", action="store_true", help="show what is lost without it"
    )
    parser.add_argument("--folder", type=Path, default=None, help="keep data and logs here")
    return parser.parse_args()


def main() -> int:
    """Play; 0 when every promise was kept."""
    args = _arguments()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1_000_000)
    plan = make_plan(seed, kills=args.kills, callers=args.callers)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="throughline-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"chaos: {plan.kills} kills among {plan.callers} calls, seed {seed}", flush=True)
    run = Run(plan, folder, without_outbox=args.without_outbox, durability=args.durability,
              on_progress=Progress().show)  # fmt: skip
    try:
        outcome = asyncio.run(run.play())
    except KeyboardInterrupt:
        print(f"chaos: stopped; what there is, is in {folder}")
        return 130
    print(table(outcome))
    return _verdict(outcome, plan, folder, keep=args.folder is not None)


def _verdict(outcome: Outcome, plan: Plan, folder: Path, *, keep: bool) -> int:
    if outcome.violations or outcome.left:
        (folder / "plan.txt").write_text("\n".join(plan.lines()) + "\n")
        print(f"chaos: FAILED; logs, data and the plan are in {folder}")
        return 1
    if not keep:
        shutil.rmtree(folder)
    print("chaos: every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
