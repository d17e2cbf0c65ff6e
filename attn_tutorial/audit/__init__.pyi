from .report import AuditReport as AuditReport
from .report import read_reports as read_reports
from .report import run_audit as run_audit
