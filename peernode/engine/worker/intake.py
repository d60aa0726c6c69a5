"""Makes a sequence of a submitted job, or says with a job error's code why it cannot be one.

Owns the way from messages to prompt tokens and the limits on prompt and answer. Never logs what was said.
"""

from __future__ import annotations

import numpy as np

from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.chat.markup import Notation
from peernode.chat.request import ChatRequest
from peernode.engine.protocol import Submit
from peernode.engine.worker.answer import Answer
from peernode.engine.worker.answer_form import answer_form, has_form
from peernode.engine.worker.constraint import Constraint
from peernode.engine.worker.conversation import Conversation, Prompt
from peernode.engine.worker.grammar.grammars import Grammars
from peernode.engine.worker.logprobs import LogprobReporter
from peernode.engine.worker.model import LoadedModel
from peernode.engine.worker.preparation import Preparation
from peernode.engine.worker.raw_prompt import raw_prompt
from peernode.engine.worker.sampler import Sampler
from peernode.engine.worker.sequence import Sequence, TokenArray
from peernode.engine.worker.vision.embedder import Embedded
from peernode.engine.worker.vision.seeing_prompt import SeeingPrompt
from peernode.engine.worker.vision.spans import TEXT_ONLY, Layout
from peernode.wire.errors import WireError


class Intake:
    """``admit`` raises a ``JobError``; the loop turns it into a refusal."""

    def __init__(self, model: LoadedModel, *, default_max_tokens: int) -> None:
        self._model = model
        self._default_max_tokens = default_max_tokens
        vocabulary = model.vocabulary
        self._conversation = Conversation(model.template, vocabulary.guard)
        self._grammars = Grammars(
            vocabulary.handle,
            end_ids=vocabulary.end_ids,
            writable=set(b"".join(vocabulary.pieces)),
            jump_ahead=model.order.jump_ahead,
        )

    def admit(self, job: Submit) -> Sequence | Preparation:
        model, vocabulary = self._model, self._model.vocabulary
        request = _read(job, sees=model.sight is not None)
        if any(not 0 <= token < vocabulary.size for token in job.continue_from):
            raise BadRequest("The answer to continue holds tokens that the model does not know.")
        if request.is_raw:
            prompt = raw_prompt(request.messages, vocabulary, most=model.facts.context_length)
            return self._formed(job, request, Notation(), self._sequence(job, request, Notation(), prompt, TEXT_ONLY))
        files = [image.data for message in request.messages for image in message.images]
        if model.sight is not None and files:
            asked = self._conversation.prompt(request, model.sight.placeholders.placing(vocabulary.guard))
            return self._prepare(job, request, asked, SeeingPrompt(model.sight, vocabulary, asked.text, files))
        asked = self._conversation.prompt(request)
        prompt = vocabulary.tokenise(asked.text, most=model.facts.context_length)
        sequence = self._sequence(job, request, asked.notation, prompt, TEXT_ONLY)
        return self._formed(job, request, asked.notation, sequence)

    def _formed(
        self, job: Submit, request: ChatRequest, notation: Notation, sequence: Sequence
    ) -> Sequence | Preparation:
        """``sequence``, or the preparation of its answer's form."""
        if not has_form(request):
            return sequence
        return Preparation(lambda: self._constraint(job, request, notation), lambda found: _held(sequence, found))

    def _prepare(self, job: Submit, request: ChatRequest, asked: Prompt, seeing: SeeingPrompt) -> Preparation:
        """Images first: they are more often at fault than an answer's form."""
        room = self._model.facts.context_length - len(job.continue_from)

        def work() -> tuple[list[Embedded], Constraint | None]:
            return seeing.look(room), self._constraint(job, request, asked.notation)

        def finish(prepared: tuple[list[Embedded], Constraint | None]) -> Sequence:
            seen, constraint = prepared
            return _held(self._sequence(job, request, asked.notation, *seeing.cells(seen, most=room)), constraint)

        return Preparation(work, finish)

    def _constraint(self, job: Submit, request: ChatRequest, notation: Notation) -> Constraint | None:
        if not has_form(request):
            return None
        form = answer_form(request, notation, self._grammars.marker)
        return self._grammars.constrain(form, earlier=job.continue_from)

    def _sequence(
        self, job: Submit, request: ChatRequest, notation: Notation, prompt: TokenArray | None, layout: Layout
    ) -> Sequence:
        vocabulary = self._model.vocabulary
        context = self._model.facts.context_length
        earlier = job.continue_from
        # One cell must remain for the answer's next token; an answer that has filled all of them has its length.
        if prompt is None or len(prompt) >= context or len(prompt) + len(earlier) > context:
            found = "far more" if prompt is None else str(len(prompt) + len(earlier))
            # Clients that shorten conversations know a prompt that is too long by these words.
            raise ContextTooLong(
                f"The prompt is too long: this model's maximum context length is {context} tokens.",
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
        sampler = self._sampler(request, job, prompt[prompt >= 0])  # the others stand for images
        if earlier:
            prompt = np.concatenate([prompt, np.array(earlier, np.int32)])
        return Sequence(
            job.job,
            prompt,
            answer,
            sampler,
            payer=job.payer,
            salt=job.cache_salt,
            background=request.background,
            markup=str(notation),
            layout=layout,
        )

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


def _held(sequence: Sequence, constraint: Constraint | None) -> Sequence:
    sequence.constraint = constraint
    return sequence


def _read(job: Submit, *, sees: bool) -> ChatRequest:
    """The request of ``job``, if it asks for nothing that cannot be done. Raises BadRequest."""
    try:
        request = ChatRequest.from_fields(job.request)
    except WireError as err:
        raise BadRequest("The request cannot be read.", cause=str(err)) from err
    if not sees and any(message.images for message in request.messages):
        raise BadRequest(
            "This model reads only text.", param="messages", remedy="Leave images out, or ask another model."
        )
    return request
