/* SPDX-License-Identifier: MIT */
/*
 * The console: every serial line as raw bytes, every screen as text, the firmware's keyboards.
 *
 * The firmware runs a terminal emulation on its serial lines, which would eat input and rewrite
 * output. It is taken off each line while anew runs, and put back at the end.
 */
#include "uefi.h"

#include <internal/host.h>

#include <string.h>

#define SERIAL_MAX 4
#define SCREEN_MAX 4

/* Microseconds that a line may take for a byte (87 at 115200 baud), and attempts without one. */
#define SERIAL_TIMEOUT_US 20000
#define SERIAL_TRIES      3

#define NUMBER_MAX  999u
#define NUMBER_NONE UINT32_MAX

/* Characters given to a screen at a time. */
#define SCREEN_CHUNK 128

struct serial {
	EFI_HANDLE handle;
	EFI_SERIAL_IO_PROTOCOL *io;
	SERIAL_IO_MODE before;
	bool stuck; /* nobody takes the bytes: try one at a time, without patience */
};

/* Where in an escape sequence the text for the screens is (ECMA-48, sections 5.3 to 5.6). */
enum escape {
	ESCAPE_NONE,
	ESCAPE_START,   /* after ESC */
	ESCAPE_CONTROL, /* after ESC [, up to a final byte */
	ESCAPE_STRING,  /* after ESC ] and the like, up to BEL or ESC \ */
	ESCAPE_STRING_END,
};

static const EFI_GUID serial_guid = EFI_SERIAL_IO_PROTOCOL_GUID;
static const EFI_GUID text_guid = EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL_GUID;
static const EFI_GUID keyboard_guid = EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL_GUID;
static const EFI_GUID graphics_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;

static struct serial serials[SERIAL_MAX];
static size_t serial_count;
static SIMPLE_TEXT_OUTPUT_INTERFACE *screens[SCREEN_MAX];
static size_t screen_count;
static enum escape escape;
static u32 escape_number; /* of a control sequence: its parameter; NUMBER_NONE: not just one */

/* Of the firmware's keyboards together; NULL: only the older protocol, without shift keys. */
static EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *keyboard;

/* Bytes of a key that did not fit into the reader's buffer. */
static u8 key_bytes[8];
static size_t key_count;

/* ---- serial lines ---- */

static enum hv_error serial_timeout(struct serial *line, UINT32 timeout)
{
	const SERIAL_IO_MODE *mode = &line->before;

	if (EFI_ERROR(line->io->SetAttributes(line->io, mode->BaudRate, mode->ReceiveFifoDepth,
					      timeout, (EFI_PARITY_TYPE)mode->Parity,
					      (UINT8)mode->DataBits,
					      (EFI_STOP_BITS_TYPE)mode->StopBits)))
		return HV_EIO;
	return HV_OK;
}

/* Stops the drivers that use the line, and only those: not the one that drives it. */
static void serial_disconnect_users(EFI_HANDLE handle)
{
	EFI_OPEN_PROTOCOL_INFORMATION_ENTRY *users = NULL;
	EFI_GUID guid = serial_guid;
	UINTN count = 0;

	if (EFI_ERROR(uefi_bs->OpenProtocolInformation(handle, &guid, &users, &count)))
		return;
	for (UINTN i = 0; i < count; i++) {
		if (users[i].Attributes & EFI_OPEN_PROTOCOL_BY_DRIVER)
			uefi_bs->DisconnectController(handle, users[i].AgentHandle, NULL);
	}
	if (users)
		uefi_bs->FreePool(users);
}

/* Nobody but us reads and writes the line from now on. */
static void serial_take(struct serial *line)
{
	serial_disconnect_users(line->handle);
	/* A line that keeps its own timeout works as well, only not as quickly. */
	(void)(serial_timeout(line, SERIAL_TIMEOUT_US) == HV_OK);
}

static void serial_init(void)
{
	EFI_HANDLE *handles;
	size_t count = uefi_handles(&serial_guid, &handles);

	serial_count = 0;
	for (size_t i = 0; i < count && serial_count < SERIAL_MAX; i++) {
		struct serial *line = &serials[serial_count];
		EFI_SERIAL_IO_PROTOCOL *io = uefi_protocol(handles[i], &serial_guid);

		if (!io || !io->Mode)
			continue;
		*line = (struct serial){.handle = handles[i], .io = io, .before = *io->Mode};
		serial_take(line);
		serial_count++;
	}
	if (handles)
		uefi_bs->FreePool(handles);
}

static void serial_fini(void)
{
	for (size_t i = 0; i < serial_count; i++) {
		struct serial *line = &serials[i];

		(void)(serial_timeout(line, line->before.Timeout) == HV_OK);
		uefi_bs->ConnectController(line->handle, NULL, NULL, TRUE);
	}
	serial_count = 0;
}

static void serial_write(struct serial *line, const u8 *buf, size_t length)
{
	u32 tries = line->stuck ? 1 : SERIAL_TRIES;

	while (length && tries) {
		UINTN count = line->stuck ? 1 : length;
		EFI_STATUS status = line->io->Write(line->io, &count, (void *)buf);

		if (EFI_ERROR(status) && status != EFI_TIMEOUT)
			return;
		if (count > length)
			count = length;
		buf += count;
		length -= count;
		if (count) {
			line->stuck = false;
			tries = SERIAL_TRIES;
		} else {
			tries--;
		}
	}
	if (!tries)
		line->stuck = true;
}

static size_t serial_read(struct serial *line, u8 *buf, size_t length)
{
	size_t got = 0;

	while (got < length) {
		UINT32 control = 0;
		UINTN count = 1;

		/* Only what is there already: a read of more would wait for it. */
		if (EFI_ERROR(line->io->GetControl(line->io, &control)) ||
		    (control & EFI_SERIAL_INPUT_BUFFER_EMPTY))
			break;
		if (EFI_ERROR(line->io->Read(line->io, &count, buf + got)) || count != 1)
			break;
		got++;
	}
	return got;
}

/* ---- screens ---- */

static void screen_init(void)
{
	EFI_HANDLE *handles;
	size_t count;

	screen_count = 0;
	escape = ESCAPE_NONE;
	if (!serial_count) {
		/* Whatever the firmware itself talks through, all of it. */
		if (uefi_st->ConOut)
			screens[screen_count++] = uefi_st->ConOut;
		return;
	}
	count = uefi_handles(&text_guid, &handles);
	for (size_t i = 0; i < count && screen_count < SCREEN_MAX; i++) {
		SIMPLE_TEXT_OUTPUT_INTERFACE *text = uefi_protocol(handles[i], &text_guid);

		/* The console's own handle only repeats to all others. */
		if (text && handles[i] != uefi_st->ConsoleOutHandle &&
		    uefi_protocol(handles[i], &graphics_guid))
			screens[screen_count++] = text;
	}
	if (handles)
		uefi_bs->FreePool(handles);
}

/* Moves the cursor of @screen within its line; never into the last column, which would scroll. */
static void screen_move(SIMPLE_TEXT_OUTPUT_INTERFACE *screen, s64 by, bool erase)
{
	CHAR16 space[] = {' ', 0};
	UINTN columns = 0, rows = 0;
	s64 column = screen->Mode->CursorColumn, last;
	UINTN row = (UINTN)screen->Mode->CursorRow;

	if (EFI_ERROR(screen->QueryMode(screen, (UINTN)screen->Mode->Mode, &columns, &rows)))
		return;
	last = (s64)columns - 1;
	for (s64 at = column; erase && at < last; at++)
		screen->OutputString(screen, space);
	column += by;
	column = column < 0 ? 0 : column > last ? last : column;
	screen->SetCursorPosition(screen, (UINTN)column, row);
}

/*
 * The few control sequences that a shell needs to edit its line: cursor forward and back, and
 * erasing to the line's end (ECMA-48, sections 8.3.20, 8.3.18, 8.3.41 and 8.3.39).
 */
static void screen_control(u8 final)
{
	s64 number = escape_number ? escape_number : 1;
	s64 by = final == 'C' ? number : final == 'D' ? -number : 0;
	bool erase = (final == 'K' || final == 'J') && !escape_number;

	if (escape_number == NUMBER_NONE || (!by && !erase))
		return;
	for (size_t i = 0; i < screen_count; i++)
		screen_move(screens[i], by, erase);
}

static void escape_parameter(u8 c)
{
	if (c >= '0' && c <= '9' && escape_number < NUMBER_MAX)
		escape_number = escape_number * 10 + c - '0';
	else
		escape_number = NUMBER_NONE;
}

/*
 * The character that byte @c is on a screen, 0 when it has none there; *@control: it ends a control
 * sequence.
 */
static CHAR16 screen_filter(u8 c, bool *control)
{
	*control = false;
	switch (escape) {
	case ESCAPE_START:
		escape_number = 0;
		if (c == '[')
			escape = ESCAPE_CONTROL;
		else if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_')
			escape = ESCAPE_STRING;
		else if (c < ' ' || c > '/')
			escape = ESCAPE_NONE;
		return 0;
	case ESCAPE_CONTROL:
		if (c < ' ' || (c >= '@' && c <= '~'))
			escape = ESCAPE_NONE;
		else
			escape_parameter(c);
		*control = c >= '@';
		return 0;
	case ESCAPE_STRING:
		if (c == '\a')
			escape = ESCAPE_NONE;
		else if (c == '\033')
			escape = ESCAPE_STRING_END;
		return 0;
	case ESCAPE_STRING_END:
		escape = c == '\\' ? ESCAPE_NONE : ESCAPE_STRING;
		return 0;
	case ESCAPE_NONE:
		break;
	}
	if (c == '\033') {
		escape = ESCAPE_START;
		return 0;
	}
	if (c == '\t')
		return ' ';
	if (c == '\r' || c == '\n' || c == '\b' || (c >= ' ' && c < 0x7f))
		return c;
	/* One mark for each character of UTF-8: for its first byte. */
	return c >= 0xc0 ? '?' : 0;
}

static void screen_show(CHAR16 *text, size_t length)
{
	text[length] = 0;
	for (size_t i = 0; length && i < screen_count; i++)
		screens[i]->OutputString(screens[i], text);
}

static void screen_write(const u8 *buf, size_t length)
{
	CHAR16 text[SCREEN_CHUNK + 1];
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		bool control;
		CHAR16 c = screen_filter(buf[i], &control);

		if (c)
			text[used++] = c;
		if (used == SCREEN_CHUNK || control) {
			screen_show(text, used);
			used = 0;
		}
		if (control)
			screen_control(buf[i]);
	}
	screen_show(text, used);
}

/* ---- keyboard ---- */

/*
 * What a terminal sends for the keys that have no character: UEFI 2.10, table 12.3. F12 is Ctrl-]
 * for keyboards that have no ].
 */
static const char *const scan_text[] = {
	[SCAN_UP] = "\033[A",         [SCAN_DOWN] = "\033[B",    [SCAN_RIGHT] = "\033[C",
	[SCAN_LEFT] = "\033[D",       [SCAN_HOME] = "\033[H",    [SCAN_END] = "\033[F",
	[SCAN_INSERT] = "\033[2~",    [SCAN_DELETE] = "\033[3~", [SCAN_PAGE_UP] = "\033[5~",
	[SCAN_PAGE_DOWN] = "\033[6~", [SCAN_ESC] = "\033",       [SCAN_F12] = "\035",
};

static void key_add(u32 byte)
{
	key_bytes[key_count++] = (u8)byte;
}

/* The control character of a key that is held down with Ctrl, as far as firmware leaves it to us.
 */
static CHAR16 with_control(CHAR16 c, UINT32 shift)
{
	bool control = (shift & EFI_SHIFT_STATE_VALID) &&
		       (shift & (EFI_LEFT_CONTROL_PRESSED | EFI_RIGHT_CONTROL_PRESSED));

	return control && c >= '@' && c < 0x7f ? c & 0x1f : c;
}

static bool key_next(EFI_INPUT_KEY *key)
{
	SIMPLE_INPUT_INTERFACE *in = uefi_st->ConIn;
	EFI_KEY_DATA data = {0};

	if (!keyboard)
		return in && !EFI_ERROR(in->ReadKeyStroke(in, key));
	if (EFI_ERROR(keyboard->ReadKeyStrokeEx(keyboard, &data)))
		return false;
	*key = data.Key;
	key->UnicodeChar = with_control(key->UnicodeChar, data.KeyState.KeyShiftState);
	return true;
}

/* Puts the next key's bytes into key_bytes, which is empty; false when no key is waiting. */
static bool key_poll(void)
{
	EFI_INPUT_KEY key = {0};
	u32 c;

	if (!key_next(&key))
		return false;
	c = key.UnicodeChar;
	if (!c) {
		const char *text =
			key.ScanCode < ARRAY_COUNT(scan_text) ? scan_text[key.ScanCode] : NULL;

		while (text && *text)
			key_add((u8)*text++);
	} else if (c == '\n') {
		key_add('\r');
	} else if (c == '\b') {
		key_add(0x7f);
	} else if (c < 0x80) {
		key_add(c);
	} else if (c < 0x800) {
		key_add(0xc0 | c >> 6);
		key_add(0x80 | (c & 0x3f));
	} else {
		key_add(0xe0 | c >> 12);
		key_add(0x80 | (c >> 6 & 0x3f));
		key_add(0x80 | (c & 0x3f));
	}
	return true;
}

static size_t key_read(u8 *buf, size_t length)
{
	size_t got = 0;

	while (got < length && (key_count || key_poll())) {
		size_t count = min_u64(key_count, length - got);

		memcpy(buf + got, key_bytes, count);
		memmove(key_bytes, key_bytes + count, key_count - count);
		key_count -= count;
		got += count;
	}
	return got;
}

/* ---- all together ---- */

void console_init(void)
{
	key_count = 0;
	keyboard = uefi_st->ConsoleInHandle
			   ? uefi_protocol(uefi_st->ConsoleInHandle, &keyboard_guid)
			   : NULL;
	serial_init();
	screen_init();
}

void console_retake(void)
{
	for (size_t i = 0; i < serial_count; i++)
		serial_take(&serials[i]);
}

void console_fini(void)
{
	serial_fini();
	screen_count = 0;
}

void host_console_write(const u8 *buf, size_t length)
{
	UEFI_CHECK_CONTEXT();
	for (size_t i = 0; i < serial_count; i++)
		serial_write(&serials[i], buf, length);
	if (screen_count)
		screen_write(buf, length);
}

size_t host_console_read(u8 *buf, size_t length)
{
	size_t got;

	UEFI_CHECK_CONTEXT();
	got = key_read(buf, length);
	for (size_t i = 0; i < serial_count; i++)
		got += serial_read(&serials[i], buf + got, length - got);
	return got;
}
