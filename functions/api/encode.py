"""POST encode: media to vectors, for whoever wants to see or bring them."""

from __future__ import annotations

from functions.api.world import World
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.encode import EncodeModel, EncoderInfo, InputModel, decode_encode_answer, encode_message
from shardlake.contracts.http import Request, Response, json_response
from shardlake.contracts.media import inbox_of, media_wire
from shardlake.errors import ErrorKind, InvalidInput, NotImplementedYet, ShardlakeError
from shardlake.types import Modality

ANSWER_MARGIN_MS = 250


def encode(world: World, request: Request) -> Response:
    """Answers unit vectors in the order of the inputs."""
    model = validated(EncodeModel, parse_object(request.body))
    info = _encoder(world, model, request)
    inbox = inbox_of(world.settings.bucket)
    inputs = [_wire(value, info, inbox=inbox, index=index) for index, value in enumerate(model.inputs)]
    deadline = request.deadline.shortened(ANSWER_MARGIN_MS)
    message = encode_message(info.name, inputs, timeout_ms=deadline.remaining_ms())
    payload = world.invoker.invoke(world.settings.encode_function, message, deadline=deadline)
    answer = decode_encode_answer(payload, count=len(inputs))
    return json_response(
        200, {"vectors": list(answer.vectors), "dimension": answer.vectors.shape[1], "model": answer.model}
    )


def _encoder(world: World, model: EncodeModel, request: Request) -> EncoderInfo:
    collection, slash, space = model.space.partition("/")
    if model.collection is not None:
        if slash and collection != model.collection:
            raise InvalidInput("space names another collection than collection does")
        collection, space = model.collection, space if slash else model.space
    elif not slash:
        return _known(world, model.space, request)
    spec = schema_of_body(world.collection(collection).body).space(space)
    if spec is None:
        raise InvalidInput("the collection has no such space", kind=ErrorKind.UNKNOWN_SPACE, space=space)
    if spec.encoder is None:
        raise InvalidInput(
            "the space has no encoder: its vectors are brought by the user", kind=ErrorKind.UNKNOWN_ENCODER, space=space
        )
    return _known(world, spec.encoder, request)


def _known(world: World, name: str, request: Request) -> EncoderInfo:
    encoders = world.encoders(request.deadline)
    if name not in encoders:
        raise InvalidInput(
            "this deployment has no such encoder", kind=ErrorKind.UNKNOWN_ENCODER, known=sorted(encoders)
        )
    return encoders[name]


def _wire(value: InputModel, info: EncoderInfo, *, inbox: str, index: int) -> dict[str, object]:
    (modality,) = value.kinds()
    if modality in {Modality.AUDIO, Modality.VIDEO}:
        raise NotImplementedYet(f"{modality} is not served by this release", field=f"inputs.{index}.{modality}")
    if modality not in info.modalities:
        raise InvalidInput(
            f"the encoder {info.name} does not read {modality}", kind=ErrorKind.UNKNOWN_MODALITY, index=index
        )
    try:
        return media_wire(value, modality, inbox=inbox)
    except ShardlakeError as error:
        error.context["index"] = index
        raise
