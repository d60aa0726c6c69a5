"""Makes a sequence of a submitted job, or says with a job error's code why it cannot be one.

Owns the way from messages to prompt tokens and the limits on prompt and answer. Never logs what was said.
"""

from __future__ import annotations

import numpy as np

from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.chat.request import ChatRequest
from peernode.engine.protocol import Submit
from peernode.engine.worker.answer import Answer
from peernode.engine.worker.answer_form import answer_form, has_form
from peernode.engine.worker.constraint import Constraint
from peernode.engine.worker.conversation import Conversation
from peernode.engine.worker.grammar.grammars import Grammars
from peernode.engine.worker.logprobs import LogprobReporter
from peernode.engine.worker.model import LoadedModel
from peernode.engine.worker.preparation import Preparation
from peernode.engine.worker.sampler import Sampler
from peernode.engine.worker.sequence import Sequence, TokenArray
from peernode.wire.errors import WireError


class Intake:
    """``admit`` raises a ``JobError``; the loop turns it into a refusal."""

    def __init__(self, model: LoadedModel, *, default_max_tokens: int) -> None:
        self._model = model
        self._default_max_tokens = default_max_tokens
        vocabulary = model.vocabulary
        self._conversation = Conversation(model.template, vocabulary.guard)
        self._grammars = Grammars(vocabulary.handle, end_ids=vocabulary.end_ids, jump_ahead=model.order.jump_ahead)

    def admit(self, job: Submit) -> Sequence | Preparation:
        vocabulary = self._model.vocabulary
        context = self._model.facts.context_length
        request = _read(job)
        asked = self._conversation.prompt(request)
        notation = asked.notation
        earlier = job.continue_from
        if any(not 0 <= token < vocabulary.size for token in earlier):
            raise BadRequest("The answer to continue holds tokens that the model does not know.")
        prompt = vocabulary.tokenise(asked.text, most=context)
        # One cell must remain for the answer's next token.
        if prompt is None or len(prompt) + len(earlier) >= context:
            found = "far more" if prompt is None else str(len(prompt) + len(earlier))
            raise ContextTooLong(
                "The prompt does not fit the model's context.",
                param="messages",
                cause=f"{found} tokens, the context holds {context} with the answer",
                remedy="Shorten the conversation.",
            )
        if not len(prompt):
            raise BadRequest("The messages make an empty prompt.", param="messages")
        wanted = request.max_tokens or max(self._default_max_tokens, len(earlier) + 1)
        pieces = vocabulary.marked_pieces if request.calls_tools or notation.thinks else vocabulary.pieces
        answer = Answer(
            pieces,
            vocabulary.end_ids,
            stops=request.stop,
            limit=min(wanted, context - len(prompt)),
            earlier=earlier,
        )
        sampler = self._sampler(request, job, prompt)
        if earlier:
            prompt = np.concatenate([prompt, np.array(earlier, np.int32)])

        def finish(constraint: Constraint | None) -> Sequence:
            return Sequence(
                job.job,
                prompt,
                answer,
                sampler,
                constraint=constraint,
                payer=job.payer,
                salt=job.cache_salt,
                background=request.background,
                markup=str(notation),
            )

        def constrain() -> Constraint:
            form = answer_form(request, notation, self._grammars.marker)
            return self._grammars.constrain(form, earlier=earlier)

        if not has_form(request):
            return finish(None)
        return Preparation(constrain, finish)

    def _sampler(self, request: ChatRequest, job: Submit, prompt: TokenArray) -> Sampler:
        vocabulary = self._model.vocabulary
        sampling = request.sampling
        unknown = [token for token, _ in sampling.logit_bias if token >= vocabulary.size]
        if unknown:
            raise BadRequest(
                "logit_bias names a token that the model does not know.",
                param="logit_bias",
                cause=f"{unknown[0]}; the model's ids end at {vocabulary.size - 1}",
            )
        top = request.top_logprobs
        reporter = None if top is None else LogprobReporter(vocabulary.pieces, top)
        return Sampler.of(sampling, job.seed, prompt=prompt, earlier=job.continue_from, reporter=reporter)


def _read(job: Submit) -> ChatRequest:
    """The request of ``job``, if it asks for nothing that cannot be done. Raises BadRequest."""
    try:
        request = ChatRequest.from_fields(job.request)
    except WireError as err:
        raise BadRequest("The request cannot be read.", cause=str(err)) from err
    if any(message.images for message in request.messages):
        raise BadRequest(
            "This model reads only text.", param="messages", remedy="Leave images out, or ask another model."
        )
    return request
