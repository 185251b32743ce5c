"""Access tokens for service apps, as `/oauth2/v1/token` gives them."""

from urllib.parse import parse_qsl

from litestar import Response, post

from forwarder.emulator.replies import OAuthError
from forwarder.emulator.tokens import PATH
from forwarder.emulator.web import OktaRequest, admission, answer


@post(PATH, status_code=200)
async def _token(request: OktaRequest) -> Response[bytes]:
    try:
        form = dict(parse_qsl((await request.body()).decode()))
    except (UnicodeDecodeError, ValueError) as error:
        raise OAuthError(400, "invalid_request", "The body must be a form.") from error
    return answer(request, admission(request).tokens.give(form, request.headers.get("dpop")))


TOKEN_ROUTES = (_token,)
