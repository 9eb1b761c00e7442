/* SPDX-License-Identifier: MIT */
/* make check-conf: anew.conf through the parser that the hypervisor has, on the host. */
#include <hv/log.h>
#include <internal/config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void log_print(enum log_level level, const char *format, ...)
{
	va_list args;

	(void)level;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	va_list args;

	(void)limit;
	(void)level;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

int main(int argc, char **argv)
{
	static char text[CONFIG_TEXT_MAX + 1];
	static struct config config;
	size_t length;
	FILE *file;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FILE\n", argv[0]);
		return 2;
	}
	file = fopen(argv[1], "rb");
	if (!file) {
		perror(argv[1]);
		return 2;
	}
	length = fread(text, 1, sizeof(text), file);
	fclose(file);
	if (length > CONFIG_TEXT_MAX) {
		fprintf(stderr, "%s: more than %u bytes\n", argv[1], (unsigned)CONFIG_TEXT_MAX);
		return 1;
	}
	/* Any architecture: of a path, only the form is looked at. */
	if (config_parse(&config, "x86_64", argv[1], text, length) != HV_OK)
		return 1;
	printf("%s: %u VM%s, no mistakes\n", argv[1], config.vm_count,
	       config.vm_count == 1 ? "" : "s");
	return 0;
}
