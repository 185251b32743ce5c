"""Access tokens for service apps, as `/oauth2/v1/token` gives them."""

from urllib.parse import parse_qsl

from litestar import Response, post

from forwarder.emulator.http.errors import OAuthError
from forwarder.emulator.http.responses import OktaRequest, admission, answer
from forwarder.emulator.oauth.tokens import PATH


@post(PATH, status_code=200)
async def _token(request: OktaRequest) -> Response[bytes]:
    try:
        form = dict(parse_qsl((await request.body()).decode()))
    except (UnicodeDecodeError, ValueError) as error:
        raise OAuthError(400, "invalid_request", "The body must be a form.") from error
    return answer(request, admission(request).tokens.give(form, request.headers.get("dpop")))


TOKEN_ROUTES = (_token,)
