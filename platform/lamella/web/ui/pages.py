"""The pages for people: experiments, a report, models, log-in. Rendered here, without scripts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from apiflask import APIBlueprint
from flask import Response, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from lamella.errors import Forbidden, InvalidInput, LamellaError, Unauthenticated
from lamella.experiments.model import Experiment, Json
from lamella.experiments.selection import experiment_of
from lamella.services.cancelling import cancel_training as cancel_run
from lamella.services.insight import Wanted
from lamella.services.training import QUEUED, RUNNING
from lamella.web.auth import FORMS, PAGES, PUBLIC, log_in, may_send_forms, needs
from lamella.web.problems import TITLES, status_of
from lamella.web.scopes import of_experiment, own_scope, reached_layers, reaches_whole
from lamella.web.ui.texts import LANGUAGES, translate
from lamella.web.wiring import services

blueprint = APIBlueprint("pages", __name__, enable_openapi=False)

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""On every answer of the application; no page needs a script, so none may run."""

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An experiment as a row of the list."""

    key: str
    name: str
    status: str
    layer: str
    owner: str
    days: float | None
    decision: str
    variant: str
    as_of: str


@blueprint.get("/")
@needs(PAGES, scope=own_scope)
def experiments() -> ResponseReturnValue:
    """The list of experiments."""
    now = services().configuration.load()
    reached = {each.key for each in reached_layers(now)}
    return render_template("experiments.html", rows=[_row(each) for each in now.experiments if each.layer in reached])


@blueprint.get("/experiments/<key>")
@needs(PAGES, scope=of_experiment)
def experiment(key: str) -> ResponseReturnValue:
    """The report of one experiment."""
    from lamella.reporting.html import render_report

    found = experiment_of(services().configuration.load(), key)
    document = services().analysis.latest_report(key)
    fragment = Markup()
    if document is not None:
        history = services().analysis.reports(key, _phase_of(document))
        # The fragment comes from a template of ours that escapes what it is given.
        fragment = Markup(render_report(document, history, lang=language()))  # noqa: S704
    return render_template("experiment.html", experiment=found, has_report=document is not None, fragment=fragment)


@blueprint.get("/models")
@needs(PAGES, scope=own_scope)
def models() -> ResponseReturnValue:
    """The published models and the trainings, which concern the whole installation."""
    runs = services().trainings.all(limit=20) if reaches_whole() else ()
    stoppable = {run.id for run in runs if run.status in (QUEUED, RUNNING)}
    if stoppable and not may_send_forms(services().keys):
        stoppable.clear()
    return render_template("models.html", versions=services().models.all(), runs=runs, stoppable=stoppable)


@blueprint.post("/trainings/<key>/cancel")
@needs(FORMS)
def cancel_training(key: str) -> ResponseReturnValue:
    """Cancels a training as the admin API does, and goes back to the models."""
    cancel_run(key, runs=services().trainings, uploads=services().uploads)
    return redirect(_link("pages.models"), 303)


@blueprint.get("/models/<key>")
@needs(PAGES, scope=own_scope)
def model(key: str) -> ResponseReturnValue:
    """What one model version looks like inside."""
    from lamella.reporting.insight import render_insight

    portrait = services().insight.show(key, Wanted())
    # The fragment comes from a template of ours that escapes what it is given.
    fragment = Markup(render_insight(portrait, lang=language()))  # noqa: S704
    return render_template("model.html", version=portrait.version, fragment=fragment)


@blueprint.get("/report.css")
@needs(PUBLIC)
def report_style() -> ResponseReturnValue:
    """The stylesheet of the reports and of the looks inside models."""
    from lamella.reporting.html import STYLESHEET
    from lamella.reporting.insight import INSIGHT_STYLESHEET

    style = STYLESHEET + INSIGHT_STYLESHEET
    return Response(style, content_type="text/css; charset=utf-8", headers={"Cache-Control": "max-age=3600"})


@blueprint.get("/login")
@needs(PUBLIC)
def login() -> ResponseReturnValue:
    """The form that takes a key."""
    return render_template("login.html", next=request.args.get("next", "/"), fault="")


@blueprint.post("/login")
@needs(PUBLIC)
def login_with_key() -> ResponseReturnValue:
    """Opens a session and goes where the person wanted to go."""
    target = request.form.get("next", "/")
    try:
        log_in(services().keys, request.form.get("key", ""))
    except (Unauthenticated, Forbidden) as error:
        return render_template("login.html", next=target, fault=str(error)), status_of(error)
    return redirect(target if _is_ours(target) else "/", 303)


@blueprint.post("/logout")
@needs(PUBLIC)
def logout() -> ResponseReturnValue:
    """Ends the session."""
    session.clear()
    return redirect(url_for("pages.login"), 303)


@blueprint.errorhandler(Unauthenticated)
def _to_login(_: Unauthenticated) -> ResponseReturnValue:
    # A form is not sent by a log-in: the person sees its page again.
    wanted = _link("pages.models") if request.method == "POST" else request.full_path.rstrip("?")
    return redirect(url_for("pages.login", next=wanted), 303)


@blueprint.errorhandler(LamellaError)
def _problem_page(error: LamellaError) -> ResponseReturnValue:
    g.problem = error.code
    page = render_template("problem.html", title=TITLES.get(error.code, error.code), detail=str(error))
    return page, status_of(error)


@blueprint.app_context_processor
def words() -> dict[str, object]:
    """What every template may use."""
    spoken = language()
    return {
        "language": spoken,
        "_": partial(translate, language=spoken),
        "time": _time,
        "link": _link,
        "here": _here,
        "holder": session.get("name"),
    }


@blueprint.after_request
def _vary(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Content-Language"] = "zh-Hans" if language() == "zh" else "en"
    response.vary.add("Accept-Language")
    return response


def language() -> str:
    """The language of this page: `?lang=`, else what the browser prefers, else English."""
    wanted = request.args.get("lang", "")
    if wanted in LANGUAGES:
        return wanted
    return request.accept_languages.best_match(LANGUAGES, default="en")


def _link(endpoint: str, key: str | None = None) -> str:
    """The address of a page, in the language that was asked for."""
    wanted = request.args.get("lang", "")
    # What is None is left out.
    return url_for(endpoint, lang=wanted if wanted in LANGUAGES else None, key=key)


def _here(lang: str) -> str:
    if request.endpoint is None or request.method != "GET":
        return f"/?lang={lang}"
    return url_for(request.endpoint, **(request.view_args or {}), lang=lang)


def _row(found: Experiment) -> Row:
    document = services().analysis.latest_report(found.key) or {}
    verdict = document.get("verdict")
    verdict = verdict if isinstance(verdict, Mapping) else {}
    as_of = document.get("as_of")
    return Row(
        key=found.key,
        name=found.name or found.key,
        status=found.status.value,
        layer=found.layer,
        owner=found.owner,
        days=_days(found, services().clock.now()),
        decision=str(verdict.get("decision") or ""),
        variant=str(verdict.get("variant") or ""),
        as_of=_time(datetime.fromisoformat(as_of)) if isinstance(as_of, str) else "",
    )


def _days(found: Experiment, now: datetime) -> float | None:
    """How long the current phase has run, or None before the first."""
    if not found.phases:
        return None
    phase = found.phases[-1]
    return max(0.0, ((phase.ended_at or now) - phase.started_at).total_seconds() / _DAY_SECONDS)


def _phase_of(document: Mapping[str, Json]) -> int:
    """The phase that a report is about. Raises InvalidInput for a document that does not say."""
    about = document.get("experiment")
    phase = about.get("phase") if isinstance(about, Mapping) else None
    if isinstance(phase, int):
        return phase
    raise InvalidInput("the report names no phase; analyse the experiment again")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _is_ours(target: str) -> bool:
    """Whether the address is a path of this site: nothing that a browser would read as another host."""
    return target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
