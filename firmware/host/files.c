/* SPDX-License-Identifier: MIT */
/* Files on the volume that the image was loaded from, through the firmware's own file system. */
#include "uefi.h"

#include <internal/host.h>

#include <string.h>

#define PATH_MAX_CHARS 256
/* Some firmware fails reads of many megabytes at once. */
#define READ_CHUNK MIB(1)

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static const EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
static const EFI_GUID file_info_guid = EFI_FILE_INFO_ID;

static EFI_FILE_HANDLE volume; /* its root directory; NULL without a file system */

void files_init(void)
{
	const EFI_LOADED_IMAGE_PROTOCOL *image = uefi_protocol(uefi_image, &loaded_image_guid);
	EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *fs;

	volume = NULL;
	if (!image || !image->DeviceHandle)
		return;
	fs = uefi_protocol(image->DeviceHandle, &file_system_guid);
	if (fs && EFI_ERROR(fs->OpenVolume(fs, &volume)))
		volume = NULL;
}

void files_fini(void)
{
	if (volume)
		volume->Close(volume);
	volume = NULL;
}

static enum hv_error open_file(const char *path, EFI_FILE_HANDLE *file)
{
	CHAR16 name[PATH_MAX_CHARS];
	size_t length = strlen(path);
	EFI_STATUS status;

	if (!volume || length >= PATH_MAX_CHARS)
		return HV_ENOT_FOUND;
	for (size_t i = 0; i <= length; i++) {
		u8 c = (u8)path[i];

		if (c >= 0x7f || (c && c < ' '))
			return HV_ENOT_FOUND;
		name[i] = c == '/' ? '\\' : c;
	}
	status = volume->Open(volume, file, name, EFI_FILE_MODE_READ, 0);
	if (status == EFI_NOT_FOUND || status == EFI_INVALID_PARAMETER)
		return HV_ENOT_FOUND;
	return EFI_ERROR(status) ? HV_EIO : HV_OK;
}

enum hv_error host_file_size(const char *path, u64 *size)
{
	union {
		EFI_FILE_INFO info;
		u8 space[SIZE_OF_EFI_FILE_INFO + PATH_MAX_CHARS * sizeof(CHAR16)];
	} buffer;
	EFI_GUID guid = file_info_guid;
	UINTN length = sizeof(buffer);
	EFI_FILE_HANDLE file;
	enum hv_error err;

	UEFI_CHECK_CONTEXT();
	err = open_file(path, &file);
	if (err != HV_OK)
		return err;
	if (EFI_ERROR(file->GetInfo(file, &guid, &length, &buffer)))
		err = HV_EIO;
	else if (buffer.info.Attribute & EFI_FILE_DIRECTORY)
		err = HV_ENOT_FOUND;
	else
		*size = buffer.info.FileSize;
	file->Close(file);
	return err;
}

enum hv_error host_file_read(const char *path, u64 offset, void *buf, size_t length)
{
	EFI_FILE_HANDLE file;
	enum hv_error err;
	u8 *to = buf;

	UEFI_CHECK_CONTEXT();
	err = open_file(path, &file);
	if (err != HV_OK)
		return err;
	if (EFI_ERROR(file->SetPosition(file, offset)))
		err = HV_EIO;
	while (err == HV_OK && length) {
		UINTN got = min_u64(length, READ_CHUNK);

		if (EFI_ERROR(file->Read(file, &got, to)) || !got) {
			err = HV_EIO;
		} else {
			to += got;
			length -= got;
		}
	}
	file->Close(file);
	return err;
}
