from .answers import Answers as Answers
from .held import Held as Held
from .held import held_in as held_in
from .ledger import Ledger as Ledger
from .reading import LedgerError as LedgerError
from .record import Record as Record
