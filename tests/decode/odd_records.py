"""Odd records and objects and what they mean, written out by hand."""

from tests.decode.readings import ARRIVAL_US
from transforms.decode.causes import (
    BAD_IDENTITY,
    BAD_JSON,
    BAD_METRICS,
    BAD_ORG,
    BAD_OTLP,
    BAD_RECEIVED_AT,
    BAD_ROLES,
    NOT_A_POSTING,
    TOO_DEEP,
    UNKNOWN_TYPE,
)

_Posting = tuple[str, str, str, list[str] | None, int]

_PLAIN: _Posting = ("host", "default", "h", None, ARRIVAL_US)
_RECEIVED: _Posting = ("host", "default", "h", None, 1_762_000_000_123_000)


def _roles(*roles: str) -> list[_Posting]:
    return [("host", "default", "h", list(roles), ARRIVAL_US)]


def _host(fields: str) -> str:
    return f'{{"type":"host","hostId":"h",{fields}"metrics":[]}}'


RECORDS: dict[str, list[_Posting] | str] = {
    "{}": [],
    "[]": [],
    " [ ] ": [],
    _host(""): [_PLAIN],
    '{"type":"host","hostId":"h","metrics":null}': [_PLAIN],
    '{"metrics":[],"hostId":"h","type":"host"}': [_PLAIN],
    '{"type":"service","service":"shop","metrics":[]}': [("service", "default", "shop", None, ARRIVAL_US)],
    '{"type":"service","service":"s:p","hostId":"h","metrics":[]}': [("service", "default", "s:p", None, ARRIVAL_US)],
    '{"type":"service","service":"s","hostId":5,"metrics":[]}': [("service", "default", "s", None, ARRIVAL_US)],
    '{"type":"service","service":"s","roles":["a:b"],"metrics":[]}': [("service", "default", "s", None, ARRIVAL_US)],
    '{"type":"service","service":"s","roles":5,"metrics":[]}': [("service", "default", "s", None, ARRIVAL_US)],
    '{"type":"host","hostId":"h","service":[],"metrics":[]}': [_PLAIN],
    '{"type":"host","hostId":"x","hostId":"h","metrics":7,"metrics":[]}': [_PLAIN],
    '{"t\\u0079pe":"h\\u006fst","hostId":"\\u0068","metrics":[]}': [_PLAIN],
    # org
    _host('"org":"acme",'): [("host", "acme", "h", None, ARRIVAL_US)],
    _host('"org":"",'): [("host", "", "h", None, ARRIVAL_US)],
    _host('"org":"日本",'): [("host", "日本", "h", None, ARRIVAL_US)],
    _host('"org":null,'): [_PLAIN],
    _host('"org":5,'): BAD_ORG,
    _host('"org":["acme"],'): BAD_ORG,
    _host('"org":"\\ud800",'): BAD_ORG,
    _host('"org":"\udcff",'): BAD_ORG,
    # roles
    _host('"roles":[],'): _roles(),
    _host('"roles":null,'): [_PLAIN],
    _host('"roles":["web:app"],'): _roles("web:app"),
    _host('"roles":["b","a:b","b",""],'): _roles("b", "a:b", "b", ""),
    _host('"roles":["x,y","[z]"],'): _roles("x,y", "[z]"),
    _host('"roles":"web:app",'): BAD_ROLES,
    _host('"roles":{},'): BAD_ROLES,
    _host('"roles":[null],'): BAD_ROLES,
    _host('"roles":["a",5],'): BAD_ROLES,
    _host('"roles":[["a"]],'): BAD_ROLES,
    _host('"roles":["\\ud800"],'): BAD_ROLES,
    _host('"roles":false,'): BAD_ROLES,
    # receivedAt
    _host('"receivedAt":null,'): [_PLAIN],
    _host('"receivedAt":1762000000.123,'): [_RECEIVED],
    _host('"receivedAt":"1762000000.123",'): [_RECEIVED],
    _host('"receivedAt":1762000000.1230005,'): [("host", "default", "h", None, 1_762_000_000_123_000)],
    _host('"receivedAt":1762000000.1234567,'): [("host", "default", "h", None, 1_762_000_000_123_457)],
    _host('"receivedAt":946684800,'): [("host", "default", "h", None, 946_684_800_000_000)],
    _host('"receivedAt":4133980799.5,'): [("host", "default", "h", None, 4_133_980_799_500_000)],
    _host('"receivedAt":4133980800,'): BAD_RECEIVED_AT,
    _host('"receivedAt":946684799.9,'): BAD_RECEIVED_AT,
    _host('"receivedAt":1762000000123,'): BAD_RECEIVED_AT,
    _host('"receivedAt":"yesterday",'): BAD_RECEIVED_AT,
    _host('"receivedAt":"+1762000000",'): BAD_RECEIVED_AT,
    _host('"receivedAt":NaN,'): BAD_RECEIVED_AT,
    _host('"receivedAt":"nan",'): BAD_RECEIVED_AT,
    _host('"receivedAt":1e400,'): BAD_RECEIVED_AT,
    _host('"receivedAt":true,'): BAD_RECEIVED_AT,
    _host('"receivedAt":[],'): BAD_RECEIVED_AT,
    # identity
    '{"type":"host","metrics":[]}': BAD_IDENTITY,
    '{"type":"host","hostId":null,"metrics":[]}': BAD_IDENTITY,
    '{"type":"host","hostId":5,"metrics":[]}': BAD_IDENTITY,
    '{"type":"host","hostId":"\\ud800","metrics":[]}': BAD_IDENTITY,
    '{"type":"host","service":"s","metrics":[]}': BAD_IDENTITY,
    '{"type":"service","hostId":"h","metrics":[]}': BAD_IDENTITY,
    '{"type":"service","service":{},"metrics":[]}': BAD_IDENTITY,
    # metrics
    '{"type":"host","hostId":"h"}': BAD_METRICS,
    '{"type":"host","hostId":"h","metrics":{}}': BAD_METRICS,
    '{"type":"host","hostId":"h","metrics":"x"}': BAD_METRICS,
    '{"type":"host","hostId":"h","metrics":0}': BAD_METRICS,
    '{"type":"host","hostId":"h","Metrics":[]}': BAD_METRICS,
    # type
    '{"type":"labeled","org":"acme","otlp":"CgE="}': BAD_OTLP,
    '{"type":"labeled","org":"acme","otlp":"CgA"}': BAD_OTLP,
    '{"type":"labeled","org":"acme","otlp":"C gA="}': BAD_OTLP,
    '{"type":"labeled","org":"acme","otlp":"é"}': BAD_OTLP,
    '{"type":"labeled","org":"acme","otlp":5}': BAD_OTLP,
    '{"type":"labeled","org":5,"otlp":"CgA="}': BAD_ORG,
    '{"type":"labeled","receivedAt":5,"otlp":"CgA="}': BAD_RECEIVED_AT,
    '{"type":"labeled","org":"acme","receivedAt":1762000000.5,"otlp":"CgA="}': [("labeled", "acme", "", None, 1762000000500000)],
    '{"type":"labeled","otlp":"CgA=","metrics":5,"roles":5}': [("labeled", "default", "", None, ARRIVAL_US)],
    '{"type":"labeled","otlp":""}': [],
    '{"type":"role","hostId":"h","metrics":[]}': UNKNOWN_TYPE,
    '{"type":"Host","hostId":"h","metrics":[]}': UNKNOWN_TYPE,
    '{"type":null,"hostId":"h","metrics":[]}': UNKNOWN_TYPE,
    '{"type":5,"hostId":"h","metrics":[]}': UNKNOWN_TYPE,
    '{"type":["host"],"hostId":"h","metrics":[]}': UNKNOWN_TYPE,
    '{"type":"host\\ud800","hostId":"h","metrics":[]}': UNKNOWN_TYPE,
    '{"hostId":"h","metrics":[]}': UNKNOWN_TYPE,
    '{"metrics":[]}': UNKNOWN_TYPE,
    '{"":1}': UNKNOWN_TYPE,
    # the first of several
    '{"type":"labeled","org":5}': BAD_OTLP,
    '{"type":"host","org":5,"roles":5,"metrics":5}': BAD_IDENTITY,
    '{"type":"host","hostId":"h","org":5,"roles":5,"receivedAt":[],"metrics":5}': BAD_ORG,
    '{"type":"host","hostId":"h","roles":5,"receivedAt":[],"metrics":5}': BAD_ROLES,
    '{"type":"host","hostId":"h","receivedAt":[],"metrics":5}': BAD_RECEIVED_AT,
    # scalars
    "5": NOT_A_POSTING,
    "-1.5e3": NOT_A_POSTING,
    "null": NOT_A_POSTING,
    "true": NOT_A_POSTING,
    "NaN": NOT_A_POSTING,
    '"x"': NOT_A_POSTING,
    # bad JSON
    "{": BAD_JSON,
    "[": BAD_JSON,
    "]": BAD_JSON,
    "}": BAD_JSON,
    ",": BAD_JSON,
    "x": BAD_JSON,
    "nul": BAD_JSON,
    "-": BAD_JSON,
    '"': BAD_JSON,
    "\x00": BAD_JSON,
    "\udcff": BAD_JSON,
    "\\": BAD_JSON,
    "{'type':'host'}": BAD_JSON,
    '{"type":"host","hostId":"h","metrics":[],}': BAD_JSON,
    '{,"type":"host","hostId":"h","metrics":[]}': BAD_JSON,
    '{"type":"host","hostId":"h","metrics":[,]}': BAD_JSON,
    '{"type":"host",,"hostId":"h","metrics":[]}': BAD_JSON,
    '{"type":"host" "hostId":"h","metrics":[]}': BAD_JSON,
    '{"type":"host","hostId":"h""metrics":[]}': BAD_JSON,
    '{"type":"host","hostId" "h","metrics":[]}': BAD_JSON,
    '{"type":"host","hostId"::"h","metrics":[]}': BAD_JSON,
    '{"type":"host","hostId":"h\t","metrics":[]}': BAD_JSON,
    '{"type":"host","hostId":"\\x","metrics":[]}': BAD_JSON,
    '{"type":"host","hostId":"\\u12","metrics":[]}': BAD_JSON,
    _host('"receivedAt":01762000000,'): BAD_JSON,
    _host('"receivedAt":1762000000.,'): BAD_JSON,
    _host('"receivedAt":+1762000000,'): BAD_JSON,
    _host('"memo":1-2,'): BAD_JSON,
    _host('"memo":.5,'): BAD_JSON,
    _host('"memo":1e,'): BAD_JSON,
    _host('"memo":0x10,'): BAD_JSON,
    _host('"memo":nulll,'): BAD_JSON,
    _host('"memo":/**/1,'): BAD_JSON,
    _host('"memo":nan,'): BAD_JSON,
    # nesting
    _host('"memo":' + "[" * 199 + "]" * 199 + ","): [_PLAIN],
    _host('"memo":' + "[" * 200 + "]" * 200 + ","): TOO_DEEP,
    _host('"memo":' + '{"a":' * 199 + "1" + "}" * 199 + ","): [_PLAIN],
    _host('"memo":' + '{"a":' * 200 + "1" + "}" * 200 + ","): TOO_DEEP,
    _host('"memo":"' + "[" * 500 + '",'): [_PLAIN],
    _host('"memo":[' + "[]," * 300 + "[]],"): [_PLAIN],
    _host('"memo":' + "[" * 100_000 + "]" * 100_000 + ","): TOO_DEEP,
    "[" * 100_000: TOO_DEEP,
}
"""Text of a record on a line of its own, without points → its postings, or the cause of its one dead letter."""


def _at(host: str) -> bytes:
    return b'{"type":"host","hostId":"%s","metrics":[]}' % host.encode()


A, B, C = _at("a"), _at("b"), _at("c")
BOM = b"\xef\xbb\xbf"

OBJECTS: dict[bytes, tuple[str, list[tuple[int, str, bytes]]]] = {
    b"": ("", []),
    b"\n": ("", []),
    b" \t\r\n\x0b\x0c": ("", []),
    BOM: ("", []),
    A: ("a", []),
    A + B + C: ("abc", []),
    A + b"\n" + B + b"\n" + C + b"\n": ("abc", []),
    A + b"\r\n" + B + b"\r\n": ("ab", []),
    A + b"\n\n \n" + B: ("ab", []),
    A + b" " + B + b"\t" + C: ("abc", []),
    A + b"\x0b" + B + b"\x0c" + C: ("abc", []),
    BOM + A + b"\n" + B: ("ab", []),
    BOM + BOM + A + BOM + b"\n" + BOM + B + BOM: ("ab", []),
    b"\n" + BOM + A: ("a", []),
    A.replace(b",", b"\n,\n") + B.replace(b":", b" :\r\n"): ("ab", []),
    A + b"5" + B: ("ab", [(len(A), NOT_A_POSTING, b"5")]),
    A + b"5 6" + B: ("ab", [(len(A), NOT_A_POSTING, b"5"), (len(A) + 2, NOT_A_POSTING, b"6")]),
    A + b"truefalse" + B: ("ab", [(len(A), NOT_A_POSTING, b"true"), (len(A) + 4, NOT_A_POSTING, b"false")]),
    A + b"," + B: ("a", [(len(A), BAD_JSON, b"," + B)]),
    A + b",\n" + B: ("ab", [(len(A), BAD_JSON, b",")]),
    A + b"x" + B + b"\n" + C: ("ac", [(len(A), BAD_JSON, b"x" + B)]),
    A + b"\nx\r\n" + B: ("ab", [(len(A) + 1, BAD_JSON, b"x\r")]),
    A + b"\n" + BOM + b"x\n" + B: ("ab", [(len(A) + 4, BAD_JSON, b"x")]),
    b"{\n" + A: ("a", [(0, BAD_JSON, b"{")]),
    b'{"type":\n' + A + b"\n": ("a", [(0, BAD_JSON, b'{"type":')]),
    A + b"\n" + B[:-1]: ("a", [(len(A) + 1, BAD_JSON, B[:-1])]),
    A + b"\n" + B[:-1] + b"\n" + C: ("ac", [(len(A) + 1, BAD_JSON, B[:-1])]),
    A + B[:-1] + C: ("a", [(len(A), BAD_JSON, B[:-1] + C)]),
    A + b'{"memo":"\n"}\n' + B: ("ab", [(len(A), BAD_JSON, b'{"memo":"'), (len(A) + 10, BAD_JSON, b'"}')]),
    b"1.5.\n" + A: ("a", [(0, NOT_A_POSTING, b"1.5"), (3, BAD_JSON, b".")]),
    b"01\n" + A: ("a", [(0, NOT_A_POSTING, b"0"), (1, NOT_A_POSTING, b"1")]),
    b"\x00" * 10 + b"\n" + A: ("a", [(0, BAD_JSON, b"\x00" * 10)]),
    "\u2028".encode() + A: ("", [(0, BAD_JSON, "\u2028".encode() + A)]),
    b"\xff\xfe" + A.decode().encode("utf-16-le"): ("", [(0, BAD_JSON, b"\xff\xfe" + A.decode().encode("utf-16-le"))]),
    A.replace(b'"a"', b'"\xff"') + B: ("b", [(0, BAD_IDENTITY, A.replace(b'"a"', b'"\xff"'))]),
    b"BZh9 not yet a container\n" + A: ("a", [(0, BAD_JSON, b"BZh9 not yet a container")]),
}
"""An object's bytes → the hosts that are read (a letter each) and offset, cause and bytes of its dead letters."""
