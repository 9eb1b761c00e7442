/* SPDX-License-Identifier: MIT */
/*
 * Files, through the firmware's own file systems (UEFI 2.10, sections 13.4 and 13.5). Whatever a
 * call of the firmware's may cost is avoided where many are made: EDK2's FAT, for one, flushes the
 * whole volume with each file that is opened, closed or asked for its size.
 */
#include "uefi.h"

#include <internal/host.h>

#include <string.h>

#define PATH_MAX_CHARS 256
#define LABEL_MAX      64
/* Some firmware fails transfers of many megabytes at once. */
#define TRANSFER_MAX MIB(1)
/* Of the device path of what anew was started from, bytes; a longer one is not remembered. */
#define DEVICE_PATH_MAX 512u
/* As many as a folder of FAT can hold, of 32 bytes in 2 MiB: a damaged one may have no end. */
#define FOLDER_ENTRIES_MAX 65536u
/* After a transfer that failed. */
#define POSITION_UNKNOWN UINT64_MAX

struct volume {
	struct volume *next;
	EFI_FILE_HANDLE root;
	char label[LABEL_MAX]; /* as in paths; empty: the volume that anew was started from */
};

struct host_file {
	EFI_FILE_HANDLE handle;
	u64 size;
	u64 position; /* the firmware's */
	bool writable;
};

union file_info {
	EFI_FILE_INFO info;
	u8 space[sizeof(EFI_FILE_INFO) + PATH_MAX_CHARS * sizeof(CHAR16)];
};

union volume_info {
	EFI_FILE_SYSTEM_INFO info;
	u8 space[sizeof(EFI_FILE_SYSTEM_INFO) + PATH_MAX_CHARS * sizeof(CHAR16)];
};

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static const EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
static const EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
static const EFI_GUID file_info_guid = EFI_FILE_INFO_ID;
static const EFI_GUID volume_info_guid = EFI_FILE_SYSTEM_INFO_ID;

static struct volume *volumes; /* those that were used so far */
/* Where the volume is that anew was started from, once it was used. */
static u8 own_place[DEVICE_PATH_MAX];
static size_t own_place_length;

static enum hv_error error_of(EFI_STATUS status)
{
	if (!EFI_ERROR(status))
		return HV_OK;
	switch (status) {
	case EFI_NOT_FOUND:
	case EFI_INVALID_PARAMETER: /* not a name */
		return HV_ENOT_FOUND;
	case EFI_WRITE_PROTECTED:
	case EFI_ACCESS_DENIED:
		return HV_EDENIED;
	case EFI_VOLUME_FULL:
		return HV_ENO_SPACE;
	case EFI_OUT_OF_RESOURCES:
		return HV_ENO_MEMORY;
	default:
		return HV_EIO;
	}
}

/* ---- volumes ---- */

static EFI_STATUS volume_info(EFI_FILE_HANDLE root, union volume_info *buffer)
{
	EFI_GUID guid = volume_info_guid;
	UINTN length = sizeof(*buffer);

	return root->GetInfo(root, &guid, &length, buffer);
}

static CHAR16 upper(CHAR16 c)
{
	return c >= 'a' && c <= 'z' ? (CHAR16)(c - 'a' + 'A') : c;
}

/* FAT has no small letters in labels; some firmware leaves the spaces at their end. */
static bool has_label(EFI_FILE_HANDLE root, const char *label)
{
	union volume_info buffer;
	const CHAR16 *at = buffer.info.VolumeLabel;

	if (EFI_ERROR(volume_info(root, &buffer)))
		return false;
	for (; *label; label++, at++)
		if (upper(*at) != upper((u8)*label))
			return false;
	while (*at == ' ')
		at++;
	return !*at;
}

static EFI_FILE_HANDLE open_volume(EFI_HANDLE handle)
{
	EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *fs = uefi_protocol(handle, &file_system_guid);
	EFI_FILE_HANDLE root = NULL;

	if (!fs || EFI_ERROR(fs->OpenVolume(fs, &root)))
		return NULL;
	return root;
}

/* Its device path, and *@length of that with its end (UEFI 2.10, section 10.3); NULL without. */
static const void *place_of(EFI_HANDLE handle, size_t *length)
{
	const EFI_DEVICE_PATH *path = uefi_protocol(handle, &device_path_guid);
	const EFI_DEVICE_PATH *node = path;

	if (!path)
		return NULL;
	while (!IsDevicePathEnd(node))
		node = NextDevicePathNode(node);
	*length = (size_t)((const u8 *)NextDevicePathNode(node) - (const u8 *)path);
	return path;
}

static void remember_own_place(EFI_HANDLE handle)
{
	size_t length = 0;
	const void *place = place_of(handle, &length);

	if (!place || length > sizeof(own_place))
		return;
	memcpy(own_place, place, length);
	own_place_length = length;
}

static bool is_own_place(EFI_HANDLE handle)
{
	size_t length = 0;
	const void *place = place_of(handle, &length);

	return place && length == own_place_length && !memcmp(place, own_place, length);
}

/*
 * Firmware that is quick to boot has drivers on what it boots from alone, and on what is plugged in
 * later not always all that it takes; they are asked to look for devices of theirs (UEFI 2.10,
 * section 7.3.12). Takes up to a few seconds.
 */
static void connect_all(void)
{
	EFI_HANDLE *handles = NULL;
	UINTN count = 0;

	if (EFI_ERROR(uefi_bs->LocateHandleBuffer(AllHandles, NULL, NULL, &count, &handles)))
		return;
	for (UINTN i = 0; i < count; i++)
		uefi_bs->ConnectController(handles[i], NULL, NULL, TRUE);
	uefi_bs->FreePool(handles);
	console_retake();
}

/* Among those that there are: the one of @label; without one, what is in our own place. */
static EFI_FILE_HANDLE find_volume(const char *label)
{
	EFI_FILE_HANDLE root = NULL;
	EFI_HANDLE *handles;
	size_t count = uefi_handles(&file_system_guid, &handles);

	for (size_t i = 0; i < count && !root; i++) {
		if (!*label && !is_own_place(handles[i]))
			continue;
		root = open_volume(handles[i]);
		if (root && *label && !has_label(root, label)) {
			root->Close(root);
			root = NULL;
		}
	}
	if (handles)
		uefi_bs->FreePool(handles);
	return root;
}

static EFI_FILE_HANDLE open_own_volume(void)
{
	const EFI_LOADED_IMAGE_PROTOCOL *image = uefi_protocol(uefi_image, &loaded_image_guid);
	EFI_FILE_HANDLE root =
		image && image->DeviceHandle ? open_volume(image->DeviceHandle) : NULL;

	if (root)
		remember_own_place(image->DeviceHandle);
	return root;
}

/* One that was pulled out and is back in its port has another handle, but the same place. */
static EFI_FILE_HANDLE open_named_volume(const char *label)
{
	EFI_FILE_HANDLE root = *label ? NULL : open_own_volume();

	if (!root)
		root = find_volume(label);
	if (!root) {
		connect_all();
		root = find_volume(label);
	}
	return root;
}

static enum hv_error volume_add(const char *label, struct volume **out)
{
	EFI_FILE_HANDLE root = open_named_volume(label);
	struct volume *volume;
	void *memory = NULL;

	if (!root)
		return HV_ENOT_FOUND;
	if (EFI_ERROR(uefi_bs->AllocatePool(EfiLoaderData, sizeof(*volume), &memory))) {
		root->Close(root);
		return HV_ENO_MEMORY;
	}
	volume = memory;
	*volume = (struct volume){.next = volumes, .root = root};
	memcpy(volume->label, label, strlen(label) + 1);
	volumes = volume;
	*out = volume;
	return HV_OK;
}

static void volume_remove(struct volume *volume)
{
	struct volume **link = &volumes;

	while (*link != volume)
		link = &(*link)->next;
	*link = volume->next;
	volume->root->Close(volume->root);
	uefi_bs->FreePool(volume);
}

/* The volume that @path is of; *@name is what is left of the path. */
static enum hv_error volume_find(const char *path, struct volume **volume, const char **name)
{
	const char *colon = strchr(path, ':');
	size_t length = colon ? (size_t)(colon - path) : 0;
	char label[LABEL_MAX] = "";

	if (colon && (!length || length >= LABEL_MAX))
		return HV_ENOT_FOUND;
	memcpy(label, path, length);
	*name = colon ? colon + 1 : path;
	for (*volume = volumes; *volume; *volume = (*volume)->next)
		if (!strcmp((*volume)->label, label))
			return HV_OK;
	return volume_add(label, volume);
}

/* A medium that was changed has to be looked for again, next time. */
static enum hv_error volume_result(struct volume *volume, EFI_STATUS status)
{
	if (status == EFI_MEDIA_CHANGED || status == EFI_NO_MEDIA)
		volume_remove(volume);
	return error_of(status);
}

enum hv_error host_volume_free(const char *path, u64 *bytes)
{
	union volume_info buffer;
	struct volume *volume;
	const char *name;
	enum hv_error err;

	UEFI_CHECK_CONTEXT();
	err = volume_find(path, &volume, &name);
	if (!err)
		err = volume_result(volume, volume_info(volume->root, &buffer));
	if (err)
		return err;
	*bytes = buffer.info.FreeSpace;
	return buffer.info.ReadOnly ? HV_EDENIED : HV_OK;
}

void files_fini(void)
{
	while (volumes)
		volume_remove(volumes);
}

/* ---- opening ---- */

static enum hv_error open_handle(const char *path, u64 mode, u64 attributes,
				 EFI_FILE_HANDLE *handle)
{
	CHAR16 name[PATH_MAX_CHARS] = {'\\'};
	struct volume *volume;
	enum hv_error err = volume_find(path, &volume, &path);

	if (err)
		return err;
	for (size_t i = 0; path[i]; i++) {
		u8 c = (u8)path[i];

		if (c >= 0x7f || c < ' ' || i + 1 == PATH_MAX_CHARS)
			return HV_ENOT_FOUND;
		name[i] = c == '/' ? '\\' : c;
	}
	return volume_result(volume,
			     volume->root->Open(volume->root, handle, name, mode, attributes));
}

static enum hv_error handle_info(EFI_FILE_HANDLE handle, union file_info *buffer)
{
	EFI_GUID guid = file_info_guid;
	UINTN length = sizeof(*buffer);

	return EFI_ERROR(handle->GetInfo(handle, &guid, &length, buffer)) ? HV_EIO : HV_OK;
}

static enum hv_error is_folder(EFI_FILE_HANDLE handle, bool *folder)
{
	union file_info buffer;
	enum hv_error err = handle_info(handle, &buffer);

	*folder = !err && (buffer.info.Attribute & EFI_FILE_DIRECTORY);
	return err;
}

static enum hv_error file_make(EFI_FILE_HANDLE handle, bool writable, struct host_file **file)
{
	union file_info buffer;
	void *memory = NULL;
	enum hv_error err = handle_info(handle, &buffer);

	if (err)
		return err;
	if (buffer.info.Attribute & EFI_FILE_DIRECTORY)
		return HV_ENOT_FOUND;
	if (EFI_ERROR(uefi_bs->AllocatePool(EfiLoaderData, sizeof(**file), &memory)))
		return HV_ENO_MEMORY;
	*file = memory;
	**file = (struct host_file){
		.handle = handle, .size = buffer.info.FileSize, .writable = writable};
	return HV_OK;
}

enum hv_error host_file_open(const char *path, enum host_file_mode mode, struct host_file **file)
{
	u64 efi_mode = EFI_FILE_MODE_READ;
	enum hv_error err = HV_OK;
	EFI_FILE_HANDLE handle;

	UEFI_CHECK_CONTEXT();
	if (mode == HOST_FILE_CREATE) {
		/* There is no mode that empties a file. */
		err = host_file_delete(path);
		efi_mode |= EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE;
	}
	if (!err)
		err = open_handle(path, efi_mode, 0, &handle);
	if (err)
		return err;
	err = file_make(handle, mode == HOST_FILE_CREATE, file);
	if (err)
		handle->Close(handle);
	return err;
}

void host_file_close(struct host_file *file)
{
	UEFI_CHECK_CONTEXT();
	file->handle->Close(file->handle);
	uefi_bs->FreePool(file);
}

enum hv_error host_file_delete(const char *path)
{
	EFI_FILE_HANDLE handle;
	enum hv_error err;
	bool folder;

	UEFI_CHECK_CONTEXT();
	err = open_handle(path, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE, 0, &handle);
	if (err)
		return err == HV_ENOT_FOUND ? HV_OK : err;
	err = is_folder(handle, &folder);
	if (!err && folder)
		err = HV_EDENIED;
	if (err) {
		handle->Close(handle);
		return err;
	}
	/* Closes it in any case; that it can't be deleted is a warning (section 13.5.5). */
	return handle->Delete(handle) == EFI_SUCCESS ? HV_OK : HV_EIO;
}

/* ---- reading and writing ---- */

static enum hv_error seek(struct host_file *file, u64 offset)
{
	EFI_STATUS status;

	if (file->position == offset)
		return HV_OK;
	status = file->handle->SetPosition(file->handle, offset);
	file->position = EFI_ERROR(status) ? POSITION_UNKNOWN : offset;
	return EFI_ERROR(status) ? HV_EIO : HV_OK;
}

enum hv_error host_file_read_at(struct host_file *file, u64 offset, void *buf, size_t length)
{
	enum hv_error err;
	u8 *to = buf;

	UEFI_CHECK_CONTEXT();
	if (offset > file->size || length > file->size - offset)
		return HV_EIO;
	err = seek(file, offset);
	while (!err && length) {
		UINTN got = min_u64(length, TRANSFER_MAX);

		if (EFI_ERROR(file->handle->Read(file->handle, &got, to)) || !got) {
			file->position = POSITION_UNKNOWN;
			return HV_EIO;
		}
		file->position += got;
		to += got;
		length -= got;
	}
	return err;
}

static enum hv_error write_chunk(struct host_file *file, const u8 *from, UINTN length)
{
	UINTN written = length;
	EFI_STATUS status = file->handle->Write(file->handle, &written, (void *)from);
	enum hv_error err = error_of(status);

	if (err || written != length) {
		file->position = POSITION_UNKNOWN;
		return err && err != HV_ENOT_FOUND ? err : HV_EIO;
	}
	file->position += length;
	file->size = max_u64(file->size, file->position);
	return HV_OK;
}

enum hv_error host_file_write_at(struct host_file *file, u64 offset, const void *buf, size_t length)
{
	const u8 *from = buf;
	enum hv_error err;

	UEFI_CHECK_CONTEXT();
	if (!file->writable)
		return HV_EDENIED;
	if (offset > file->size)
		return HV_EINVALID;
	err = seek(file, offset);
	while (!err && length) {
		UINTN chunk = min_u64(length, TRANSFER_MAX);

		err = write_chunk(file, from, chunk);
		from += chunk;
		length -= chunk;
	}
	return err;
}

enum hv_error host_file_flush(struct host_file *file)
{
	UEFI_CHECK_CONTEXT();
	if (!file->writable)
		return HV_OK;
	/*
	 * It is for the file system to go on to the block device. EDK2's FAT does: FatFlush() ends
	 * in FatVolumeFlushCache(), which calls FlushBlocks() (FatPkg/EnhancedFatDxe, Flush.c and
	 * DiskCache.c).
	 */
	return EFI_ERROR(file->handle->Flush(file->handle)) ? HV_EIO : HV_OK;
}

enum hv_error host_file_size(const char *path, u64 *size)
{
	struct host_file *file;
	enum hv_error err = host_file_open(path, HOST_FILE_READ, &file);

	if (err)
		return err;
	*size = file->size;
	host_file_close(file);
	return HV_OK;
}

enum hv_error host_file_read(const char *path, u64 offset, void *buf, size_t length)
{
	struct host_file *file;
	enum hv_error err = host_file_open(path, HOST_FILE_READ, &file);

	if (err)
		return err;
	err = host_file_read_at(file, offset, buf, length);
	host_file_close(file);
	return err;
}

/* ---- folders ---- */

enum hv_error host_folder_create(const char *path)
{
	EFI_FILE_HANDLE handle;
	bool folder = false;
	enum hv_error err;

	UEFI_CHECK_CONTEXT();
	err = open_handle(path, EFI_FILE_MODE_READ, 0, &handle);
	if (err == HV_ENOT_FOUND)
		err = open_handle(path,
				  EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE,
				  EFI_FILE_DIRECTORY, &handle);
	if (err)
		return err;
	err = is_folder(handle, &folder);
	handle->Close(handle);
	if (!err && !folder)
		err = HV_EEXISTS;
	return err;
}

/* False for names that can't be in a path here. */
static bool ascii_name(const CHAR16 *from, char name[PATH_MAX_CHARS])
{
	size_t i;

	for (i = 0; from[i] && i < PATH_MAX_CHARS - 1; i++) {
		if (from[i] < ' ' || from[i] >= 0x7f)
			return false;
		name[i] = (char)from[i];
	}
	name[i] = 0;
	return i && !from[i];
}

static enum hv_error read_entries(EFI_FILE_HANDLE folder,
				  void (*each)(void *ctx, const char *name, u64 size), void *ctx)
{
	for (u32 i = 0; i < FOLDER_ENTRIES_MAX; i++) {
		char name[PATH_MAX_CHARS];
		union file_info buffer;
		UINTN length = sizeof(buffer);

		if (EFI_ERROR(folder->Read(folder, &length, &buffer)))
			return HV_EIO;
		if (!length)
			return HV_OK;
		if (!(buffer.info.Attribute & EFI_FILE_DIRECTORY) &&
		    ascii_name(buffer.info.FileName, name))
			each(ctx, name, buffer.info.FileSize);
	}
	return HV_EIO;
}

enum hv_error host_folder_read(const char *path,
			       void (*each)(void *ctx, const char *name, u64 size), void *ctx)
{
	EFI_FILE_HANDLE handle;
	enum hv_error err;
	bool folder;

	UEFI_CHECK_CONTEXT();
	err = open_handle(path, EFI_FILE_MODE_READ, 0, &handle);
	if (err)
		return err;
	err = is_folder(handle, &folder);
	if (!err && !folder)
		err = HV_ENOT_FOUND;
	if (!err)
		err = read_entries(handle, each, ctx);
	handle->Close(handle);
	return err;
}
