"""A Dask worker over a folder of tiny chapters: python tiny_worker.py SCHEDULER CHAPTERS"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


async def work(scheduler: str) -> None:
    from distributed import Worker

    async with Worker(scheduler, nthreads=1) as worker:
        await worker.finished()


if __name__ == "__main__":
    from tiny_batch import stand_in

    stand_in(Path(sys.argv[2]))
    asyncio.run(work(sys.argv[1]))
