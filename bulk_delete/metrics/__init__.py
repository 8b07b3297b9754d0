"""How a job stands and ended, for Prometheus: a text file that node_exporter collects.

What writes it is in `textfile`, and loaded only where a file is asked for.
"""

from bulk_delete.metrics.figures import (
    BUCKETS,
    NO_TALLY,
    Call,
    Execution,
    Latency,
    Tally,
    Verdict,
)

__all__ = ["BUCKETS", "NO_TALLY", "Call", "Execution", "Latency", "Tally", "Verdict"]
