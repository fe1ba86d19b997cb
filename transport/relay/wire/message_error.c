/* SPDX-License-Identifier: MIT */
#include "wire/message.h"

static const char *const texts[] = {
    [MESSAGE_OK] = "valid",
    [MESSAGE_INCOMPLETE] = "more bytes are needed",
    [MESSAGE_BAD_ENDIAN] = "the byte order is neither 'l' nor 'B'",
    [MESSAGE_BAD_VERSION] = "the protocol version is not 1",
    [MESSAGE_BAD_TYPE] = "the message type is 0",
    [MESSAGE_BAD_SERIAL] = "the serial is 0",
    [MESSAGE_TOO_LONG] = "the message is too long",
    [MESSAGE_BAD_FIELDS_LENGTH] = "the header fields are too long",
    [MESSAGE_BAD_FIELD] = "a header field is malformed or of the wrong type",
    [MESSAGE_DUPLICATE_FIELD] = "a header field appears twice",
    [MESSAGE_MISSING_FIELD] = "a header field that this type of message needs is missing",
    [MESSAGE_BAD_PATH] = "an object path is not valid, or reserved",
    [MESSAGE_BAD_INTERFACE] = "the interface is not a valid name, or reserved",
    [MESSAGE_BAD_MEMBER] = "the member is not a valid name",
    [MESSAGE_BAD_ERROR_NAME] = "the error name is not a valid name",
    [MESSAGE_BAD_DESTINATION] = "the destination is not a valid bus name",
    [MESSAGE_BAD_SENDER] = "the sender is not a valid bus name",
    [MESSAGE_BAD_SIGNATURE] = "a signature is not valid",
    [MESSAGE_BAD_REPLY_SERIAL] = "the reply serial is 0",
    [MESSAGE_BAD_PADDING] = "alignment padding is not zero",
    [MESSAGE_BAD_STRING] = "a string is not valid UTF-8, contains NUL or does not end with it",
    [MESSAGE_BAD_BOOLEAN] = "a boolean is neither 0 nor 1",
    [MESSAGE_BAD_ARRAY] = "an array's length is not that of its elements, or too large",
    [MESSAGE_BAD_VARIANT] = "a variant's signature is not that of one complete type",
    [MESSAGE_BAD_DEPTH] = "values are nested too deeply",
    [MESSAGE_BAD_BODY_LENGTH] = "the body is shorter or longer than its signature says",
};

const char *message_error_text(enum message_error error)
{
    const char *text = (unsigned)error < MESSAGE_ERROR_COUNT ? texts[error] : NULL;
    return text ? text : "an unknown error";
}

const char *message_type_name(uint8_t type)
{
    static const char *const names[] = {"invalid", "method_call", "method_return", "error", "signal"};
    return type <= MESSAGE_SIGNAL ? names[type] : names[0];
}
