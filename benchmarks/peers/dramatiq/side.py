"""dramatiq's side of the jobs benchmark: threads instead of coroutines, as it is made for. Without the Results
middleware nothing is recorded.
"""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import speak

broker = RedisBroker(url=speak.redis_url())
dramatiq.set_broker(broker)


@dramatiq.actor
def nothing(sent: float) -> None:
    speak.ran(sent)


if __name__ == "__main__":
    speak.produce_in_threads(nothing.send)
