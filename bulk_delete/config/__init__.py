"""Settings, the API key, and where both are found."""

from bulk_delete.config.example import FIRST_JOB, first_config
from bulk_delete.config.files import Given, Layer, is_there, nearest, vendor_config
from bulk_delete.config.job_file import JobFile, is_job_file, read_job_file
from bulk_delete.config.key import ApiKey, exposure, find_key
from bulk_delete.config.load import (
    SECRET,
    Place,
    chosen,
    config_place,
    layers_of,
    load,
    settings_of,
)
from bulk_delete.config.settings import (
    Api,
    Factor,
    Guards,
    Input,
    Limits,
    Log,
    MaxFailures,
    Metrics,
    Notify,
    Rate,
    Retry,
    Schedule,
    Seconds,
    Settings,
    parse_rate,
    parse_seconds,
)
from bulk_delete.config.times import Begun, Clock, DayTime, Window, ZoneName, clock_of
from bulk_delete.config.url import is_loopback, parse_base_url
from bulk_delete.config.watch import HookUrl

__all__ = [
    "FIRST_JOB",
    "SECRET",
    "Api",
    "ApiKey",
    "Begun",
    "Clock",
    "DayTime",
    "Factor",
    "Given",
    "Guards",
    "HookUrl",
    "Input",
    "JobFile",
    "Layer",
    "Limits",
    "Log",
    "MaxFailures",
    "Metrics",
    "Notify",
    "Place",
    "Rate",
    "Retry",
    "Schedule",
    "Seconds",
    "Settings",
    "Window",
    "ZoneName",
    "chosen",
    "clock_of",
    "config_place",
    "exposure",
    "find_key",
    "first_config",
    "is_job_file",
    "is_loopback",
    "is_there",
    "layers_of",
    "load",
    "nearest",
    "parse_base_url",
    "parse_rate",
    "parse_seconds",
    "read_job_file",
    "settings_of",
    "vendor_config",
]
