"""What a real Asterisk 22.10 said during one call between two Local channels.

Everything it sent on one manager connection with every event class on: login, ping, a call
dialled, answered, bridged, recorded and hung up, a channel list, a refused action, a CLI
command, logoff. Kept compressed because line ends and trailing blanks matter.
"""

import gzip
from pathlib import Path

CALL = gzip.decompress((Path(__file__).parent / "data" / "asterisk-22-call.ami.gz").read_bytes())
GREETING = b"Asterisk Call Manager/11.0.0\r\n"
