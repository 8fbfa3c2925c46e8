//! The few calls of ONNX Runtime's C interface that `ort` offers only when it is pinned to a newer library, or with more
//! than they need.

#![expect(unsafe_code, reason = "a C library: every call states why its contract holds")]

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;

use libloading::{Library, Symbol};
use ort::AsPointer;
use ort::session::{IoBinding, Session};
use ort::sys::{OrtApiBase, OrtEpAssignedNode, OrtEpAssignedSubgraph, OrtSession, OrtStatusPtr};

/// An ONNX Runtime library that is loaded.
pub(super) struct Native(Library);

/// A node and the execution provider that runs it.
pub(super) struct AssignedNode {
    /// Execution provider in ONNX Runtime's words (`CPUExecutionProvider`).
    pub provider: String,
    /// Node name; empty where the graph gives none.
    pub name: String,
    /// Operator.
    pub op_type: String,
}

impl Native {
    /// Loads the library at `path`.
    pub fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: the library's initialisers run; it is the one that the user or scripts/setup chose.
        let library = unsafe { Library::new(path) }.map_err(|e| e.to_string())?;
        let native = Self(library);
        native.base()?;
        Ok(native)
    }

    /// Version of the library, `1.31.1`.
    pub fn version(&self) -> Result<String, String> {
        let base = self.base()?;
        // SAFETY: `base` points to the library's static table, which holds this function since 1.0.
        let text = unsafe { ((*base).GetVersionString)() };
        // SAFETY: the library returns a static C string.
        Ok(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }

    fn base(&self) -> Result<*const OrtApiBase, String> {
        // SAFETY: this is the signature of the symbol in every release.
        let entry: Symbol<unsafe extern "C" fn() -> *const OrtApiBase> =
            unsafe { self.0.get(b"OrtGetApiBase\0") }.map_err(|e| e.to_string())?;
        // SAFETY: the function takes nothing and returns a pointer to a static table.
        let base = unsafe { entry() };
        if base.is_null() { Err("OrtGetApiBase returns nothing".to_owned()) } else { Ok(base) }
    }

    /// Which provider runs which node of `session`; the session recorded it where its options asked for that.
    ///
    /// Only for a library of version 1.24 or later.
    pub fn assignments(&self, session: &Session) -> Result<Vec<AssignedNode>, String> {
        let base = self.base()?;
        // SAFETY: as in `version`; the library returns null for an interface newer than itself.
        let api = unsafe { ((*base).GetApi)(API_24) }.cast::<Api24>();
        if api.is_null() {
            return Err("the library has no interface version 24".to_owned());
        }
        // SAFETY: interface version 24 has all members of `Api24` at these places; the table is static.
        let api = unsafe { &*api };
        let (mut groups, mut count) = (std::ptr::null(), 0);
        // SAFETY: the session is alive, both results are written or an error is returned.
        check(unsafe { (api.session_assignment)(session.ptr(), &raw mut groups, &raw mut count) })?;
        let mut nodes = Vec::new();
        for index in 0..count {
            // SAFETY: `groups` holds `count` pointers that live as long as the session.
            let group = unsafe { *groups.add(index) };
            // SAFETY: the pointer is the library's own.
            let provider = text(|out| unsafe { (api.subgraph_provider)(group, out) })?;
            let (mut members, mut member_count) = (std::ptr::null(), 0);
            // SAFETY: as for the groups.
            check(unsafe { (api.subgraph_nodes)(group, &raw mut members, &raw mut member_count) })?;
            for member in 0..member_count {
                // SAFETY: `members` holds `member_count` pointers that live as long as the session.
                let node = unsafe { *members.add(member) };
                nodes.push(AssignedNode {
                    provider: provider.clone(),
                    // SAFETY: the pointer is the library's own.
                    name: text(|out| unsafe { (api.node_name)(node, out) })?,
                    // SAFETY: the pointer is the library's own.
                    op_type: text(|out| unsafe { (api.node_operator)(node, out) })?,
                });
            }
        }
        Ok(nodes)
    }
}

const API_24: u32 = 24;

/// The end of `OrtApi` in interface version 24 (onnxruntime_c_api.h); members are only ever added behind it.
#[repr(C)]
struct Api24 {
    before: [*const c_void; 407],
    session_assignment: unsafe extern "system" fn(
        *const OrtSession,
        *mut *const *const OrtEpAssignedSubgraph,
        *mut usize,
    ) -> OrtStatusPtr,
    subgraph_provider: unsafe extern "system" fn(*const OrtEpAssignedSubgraph, *mut *const c_char) -> OrtStatusPtr,
    subgraph_nodes: unsafe extern "system" fn(
        *const OrtEpAssignedSubgraph,
        *mut *const *const OrtEpAssignedNode,
        *mut usize,
    ) -> OrtStatusPtr,
    node_name: unsafe extern "system" fn(*const OrtEpAssignedNode, *mut *const c_char) -> OrtStatusPtr,
    node_domain: unsafe extern "system" fn(*const OrtEpAssignedNode, *mut *const c_char) -> OrtStatusPtr,
    node_operator: unsafe extern "system" fn(*const OrtEpAssignedNode, *mut *const c_char) -> OrtStatusPtr,
}

/// Runs `session` on what is bound. `Session::run_binding` would make new handles of every output.
pub(super) fn run_bound(session: &mut Session, binding: &IoBinding) -> Result<(), String> {
    // SAFETY: both are alive, and nobody else runs the session; options may be null.
    check(unsafe { (ort::api().RunWithBinding)(session.ptr().cast_mut(), std::ptr::null(), binding.ptr()) })
}

fn check(status: OrtStatusPtr) -> Result<(), String> {
    // SAFETY: the status comes from the library and is handed over once.
    unsafe { ort::Error::result_from_status(status) }.map_err(|e| e.to_string())
}

fn text(read: impl FnOnce(*mut *const c_char) -> OrtStatusPtr) -> Result<String, String> {
    let mut text = std::ptr::null();
    check(read(&raw mut text))?;
    // SAFETY: on success the library wrote a C string that lives as long as the session.
    Ok(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
