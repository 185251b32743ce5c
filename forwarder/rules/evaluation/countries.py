"""Translates Okta's English names of countries into ISO 3166 codes of two letters."""

import re
import unicodedata
from functools import lru_cache

import iso3166

from forwarder.core.errors import RuleFileError

UNKNOWN = "??"

COUNTRY_FIELD = "forwarder.country"
"""The derived field of an event that contains the country code."""

_SPELLINGS = {
    "Bolivia": "BO",
    "British Virgin Islands": "VG",
    "Brunei": "BN",
    "Burma": "MM",
    "Cape Verde": "CV",
    "Caribbean Netherlands": "BQ",
    "Congo Republic": "CG",
    "Republic of the Congo": "CG",
    "Congo (Brazzaville)": "CG",
    "DR Congo": "CD",
    "Congo (Kinshasa)": "CD",
    "Democratic Republic of the Congo": "CD",
    "The Democratic Republic of the Congo": "CD",
    "Czech Republic": "CZ",
    "East Timor": "TL",
    "Falkland Islands": "FK",
    "Gambia, The": "GM",
    "Great Britain": "GB",
    "Iran": "IR",
    "Ivory Coast": "CI",
    "Korea": "KR",
    "South Korea": "KR",
    "North Korea": "KP",
    "Laos": "LA",
    "Macau": "MO",
    "Macedonia": "MK",
    "Micronesia": "FM",
    "Moldova": "MD",
    "Nauru": "NR",
    "Palestine": "PS",
    "Palestinian Territory": "PS",
    "Palestinian Territories": "PS",
    "Pitcairn Islands": "PN",
    "Russia": "RU",
    "Saint Helena": "SH",
    "Saint Martin": "MF",
    "Sint Maarten": "SX",
    "São Tomé and Príncipe": "ST",
    "St Kitts and Nevis": "KN",
    "St Lucia": "LC",
    "St Vincent and Grenadines": "VC",
    "Swaziland": "SZ",
    "Syria": "SY",
    "Taiwan": "TW",
    "Tanzania": "TZ",
    "Turkey": "TR",
    "UK": "GB",
    "United Kingdom": "GB",
    "United States": "US",
    "U.S. Virgin Islands": "VI",
    "US Virgin Islands": "VI",
    "Vatican City": "VA",
    "Venezuela": "VE",
    "Vietnam": "VN",
    "Hashemite Kingdom of Jordan": "JO",
    "Republic of Lithuania": "LT",
    "Republic of Moldova": "MD",
}
"""Names of countries that geographic databases use and ISO 3166 does not."""


def _key(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.replace("\u0131", "i")).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z ]", "", re.sub(r"[-/]", " ", plain.casefold())).split()
    return " ".join(
        sorted(word for word in words if word not in {"the", "of", "and"})
    )  # sorted, because of names such as "Korea, Republic of"


_CODES = {
    **{_key(country.name): country.alpha2 for country in iso3166.countries},
    **{_key(country.apolitical_name): country.alpha2 for country in iso3166.countries},
    **{_key(name): code for name, code in _SPELLINGS.items()},
    **{country.alpha3.casefold(): country.alpha2 for country in iso3166.countries},
    **{country.alpha2.casefold(): country.alpha2 for country in iso3166.countries},
}

CODES = frozenset((*_CODES.values(), UNKNOWN))
"""All values that the field `forwarder.country` can have."""


@lru_cache(maxsize=1024)
def country_code(name: str) -> str:
    """Return the two-letter ISO 3166 code of a country; `??` if the country is unknown. `name` is the country's English
    name, or its code of two or three letters."""
    return _CODES.get(_key(name[:100]), UNKNOWN)


def not_a_code(written: str) -> RuleFileError:
    """Return the error for a rule that compares COUNTRY_FIELD with `written`, which is not a country code."""
    code = country_code(written)
    hint = f"write {code}" if code != UNKNOWN else f"write one, as in KP, or {UNKNOWN} for unknown countries"
    return RuleFileError(f"{written!r} is not an ISO 3166 code of two letters, so it never matches; {hint}")
