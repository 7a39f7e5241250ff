//! Everything in this crate that the compiler does not check: calls into NVIDIA's libraries, and a
//! change of the process's environment.
//!
//! The libraries are loaded on request and called by the few names below, whose signatures NVIDIA
//! has kept since CUDA 11. A missing name is an error, never a panic.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};

use libloading::{Library, Symbol};

use crate::version::Version;
use crate::{Card, Failure};

const ATTRIBUTE_CAPABILITY_MAJOR: c_int = 75;
const ATTRIBUTE_CAPABILITY_MINOR: c_int = 76;

/// The driver's library.
pub(crate) struct Driver(Library);

impl Driver {
    /// Loads the first library that is found under one of these names.
    pub(crate) fn named(names: &[OsString]) -> Option<Driver> {
        names.iter().find_map(|name| load(name).ok()).map(Driver)
    }

    /// The latest CUDA version that the driver runs. Does not start the driver.
    pub(crate) fn version(&self) -> Result<Version, Failure> {
        let mut number: c_int = 0;
        let get = self.function::<unsafe extern "C" fn(*mut c_int) -> c_int>("cuDriverGetVersion");
        // SAFETY: the signature is the driver's, the pointer is to a live integer.
        self.check(unsafe { get?(&raw mut number) })?;
        Ok(Version::from_number(number.unsigned_abs()))
    }

    /// Starts the driver and lists its cards.
    pub(crate) fn cards(&self) -> Result<Vec<Card>, Failure> {
        let mut count: c_int = 0;
        let init = self.function::<unsafe extern "C" fn(c_uint) -> c_int>("cuInit")?;
        let get = self.function::<unsafe extern "C" fn(*mut c_int) -> c_int>("cuDeviceGetCount")?;
        // SAFETY: the signatures are the driver's; 0 is the only value of the flags, and the pointer
        // is to a live integer.
        unsafe {
            self.check(init(0))?;
            self.check(get(&raw mut count))?;
        }
        (0..count).map(|index| self.card(index)).collect()
    }

    fn card(&self, index: c_int) -> Result<Card, Failure> {
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
        type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
        type Memory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
        type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
        let get = self.function::<Get>("cuDeviceGet")?;
        let name = self.function::<Name>("cuDeviceGetName")?;
        let memory = self.function::<Memory>("cuDeviceTotalMem_v2")?;
        let attribute = self.function::<Attribute>("cuDeviceGetAttribute")?;
        let mut device: c_int = 0;
        let mut text = [0_u8; 256];
        let mut memory_bytes = 0_usize;
        let mut capability: [c_int; 2] = [0; 2];
        // SAFETY: the signatures are the driver's, the pointers are to live values, and the length
        // is one less than the text's, so that a zero follows it.
        unsafe {
            self.check(get(&raw mut device, index))?;
            self.check(name(text.as_mut_ptr().cast(), 255, device))?;
            self.check(memory(&raw mut memory_bytes, device))?;
            self.check(attribute(&raw mut capability[0], ATTRIBUTE_CAPABILITY_MAJOR, device))?;
            self.check(attribute(&raw mut capability[1], ATTRIBUTE_CAPABILITY_MINOR, device))?;
        }
        let name = CStr::from_bytes_until_nul(&text).map(CStr::to_string_lossy);
        Ok(Card {
            index: index.unsigned_abs() as usize,
            name: name.unwrap_or_default().into_owned(),
            capability: Version::new(capability[0].unsigned_abs(), capability[1].unsigned_abs()),
            memory_bytes: memory_bytes as u64,
        })
    }

    fn function<F>(&self, name: &str) -> Result<Symbol<'_, F>, Failure> {
        function(&self.0, name).map_err(|text| Failure { code: 0, text })
    }

    fn check(&self, code: c_int) -> Result<(), Failure> {
        if code == 0 { Ok(()) } else { Err(Failure { code, text: self.text_of(code) }) }
    }

    fn text_of(&self, code: c_int) -> String {
        type Text = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;
        let mut text: *const c_char = std::ptr::null();
        let Ok(get) = self.function::<Text>("cuGetErrorString") else {
            return format!("CUDA error {code}");
        };
        // SAFETY: the signature is the driver's; the text that the pointer leads to lives as long as
        // the driver.
        unsafe {
            if get(code, &raw mut text) == 0 && !text.is_null() {
                return format!("{} (CUDA error {code})", CStr::from_ptr(text).to_string_lossy());
            }
        }
        format!("CUDA error {code}")
    }

    /// Keeps the library loaded for good, because a started driver must not be unloaded.
    pub(crate) fn keep(self) {
        std::mem::forget(self.0);
    }
}

/// NVRTC, which compiles kernels.
pub(crate) struct Compiler(Library);

impl Compiler {
    /// Loads the first library that the loader finds under one of these names.
    pub(crate) fn named(names: &[OsString]) -> Option<Compiler> {
        names.iter().find_map(|name| load(name).ok()).map(Compiler)
    }

    /// Loads the library in a file.
    pub(crate) fn at(file: &Path) -> Result<Compiler, String> {
        load(file.as_os_str()).map(Compiler)
    }

    pub(crate) fn version(&self) -> Result<Version, String> {
        type Get = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
        let (mut major, mut minor): (c_int, c_int) = (0, 0);
        let get = self.function::<Get>("nvrtcVersion")?;
        // SAFETY: the signature is NVRTC's, the pointers are to live integers.
        let code = unsafe { get(&raw mut major, &raw mut minor) };
        if code != 0 {
            return Err(format!("nvrtcVersion ended with {code}"));
        }
        Ok(Version::new(major.unsigned_abs(), minor.unsigned_abs()))
    }

    /// The architectures that it compiles for, such as 90 for compute capability 9.0; empty if it
    /// does not say.
    pub(crate) fn architectures(&self) -> Vec<u32> {
        type Get = unsafe extern "C" fn(*mut c_int) -> c_int;
        let counting = self.function::<Get>("nvrtcGetNumSupportedArchs");
        let listing = self.function::<Get>("nvrtcGetSupportedArchs");
        let (Ok(counting), Ok(listing)) = (counting, listing) else { return Vec::new() };
        let mut count: c_int = 0;
        // SAFETY: the signature is NVRTC's, the pointer is to a live integer.
        if unsafe { counting(&raw mut count) } != 0 {
            return Vec::new();
        }
        let mut list: Vec<c_int> = vec![0; count.unsigned_abs() as usize];
        // SAFETY: the signature is NVRTC's, and the list has the length that it just gave.
        if unsafe { listing(list.as_mut_ptr()) } != 0 {
            return Vec::new();
        }
        list.into_iter().map(c_int::unsigned_abs).collect()
    }

    /// Compiles a program and discards the result; the error is NVRTC's log.
    pub(crate) fn compile(&self, program: &str, options: &[String]) -> Result<(), String> {
        type Program = *mut c_void;
        type Texts = *const *const c_char;
        type Create = unsafe extern "C" fn(
            *mut Program,
            *const c_char,
            *const c_char,
            c_int,
            Texts,
            Texts,
        ) -> c_int;
        type Compile = unsafe extern "C" fn(Program, c_int, Texts) -> c_int;
        type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
        let create = self.function::<Create>("nvrtcCreateProgram")?;
        let compile = self.function::<Compile>("nvrtcCompileProgram")?;
        let destroy = self.function::<Destroy>("nvrtcDestroyProgram")?;
        let source = CString::new(program).map_err(|error| error.to_string())?;
        let texts: Result<Vec<CString>, _> =
            options.iter().map(|option| CString::new(option.as_str())).collect();
        let texts = texts.map_err(|error| error.to_string())?;
        let pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|error| error.to_string())?;
        let (none, mut handle) = (std::ptr::null(), std::ptr::null_mut());
        // SAFETY: the signatures are NVRTC's; the source and the options outlive the program, which
        // is destroyed once and not used afterwards.
        unsafe {
            let code = create(&raw mut handle, source.as_ptr(), none, 0, none.cast(), none.cast());
            if code != 0 {
                return Err(format!("nvrtcCreateProgram ended with {code}"));
            }
            let code = compile(handle, count, pointers.as_ptr());
            let outcome = if code == 0 { Ok(()) } else { Err(self.log_of(handle)) };
            destroy(&raw mut handle);
            outcome
        }
    }

    /// # Safety
    /// `program` belongs to this compiler and has not been destroyed.
    unsafe fn log_of(&self, program: *mut c_void) -> String {
        type Size = unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int;
        type Log = unsafe extern "C" fn(*mut c_void, *mut c_char) -> c_int;
        let size = self.function::<Size>("nvrtcGetProgramLogSize");
        let log = self.function::<Log>("nvrtcGetProgramLog");
        let (Ok(size), Ok(log)) = (size, log) else { return "it does not say why".to_owned() };
        let mut bytes = 0_usize;
        // SAFETY: the program is the caller's, the signatures are NVRTC's, and the text has the
        // length that it just gave.
        unsafe {
            size(program, &raw mut bytes);
            let mut text = vec![0_u8; bytes];
            log(program, text.as_mut_ptr().cast());
            String::from_utf8_lossy(&text).trim_end_matches('\0').trim().to_owned()
        }
    }

    /// Whether both are the same loaded library.
    pub(crate) fn is(&self, other: &Compiler) -> bool {
        self.address() == other.address()
    }

    /// The file that it was loaded from.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let address = self.address()?;
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        // `7f12a000-7f12b000 r-xp 00000000 08:01 1234   /usr/lib/libnvrtc.so.12`
        let line = maps.lines().find(|line| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            range.is_some_and(|(first, end)| {
                number(first).is_some_and(|first| first <= address)
                    && number(end).is_some_and(|end| address < end)
            })
        })?;
        line.find('/').map(|at| PathBuf::from(&line[at..]))
    }

    fn address(&self) -> Option<usize> {
        type Get = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
        self.function::<Get>("nvrtcVersion").ok().map(|function| *function as usize)
    }

    fn function<F>(&self, name: &str) -> Result<Symbol<'_, F>, String> {
        function(&self.0, name)
    }

    /// Keeps the library loaded for good, so that later lookups by its name find it.
    pub(crate) fn keep(self) {
        std::mem::forget(self.0);
    }
}

/// Sets an environment variable, if no other thread could be reading it now.
pub(crate) fn set_variable(name: &str, value: &Path) -> bool {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count());
    if threads != 1 {
        return false;
    }
    // SAFETY: this thread is the only one of the process, so nothing else reads the environment.
    unsafe { std::env::set_var(name, value) };
    true
}

fn load(name: &OsStr) -> Result<Library, String> {
    // SAFETY: NVIDIA's libraries, which every program that uses a card loads, run no initialisation
    // on loading that this program would have to prepare for.
    unsafe { Library::new(name) }.map_err(|error| error.to_string())
}

/// Looks up a library's function by name. The caller is responsible for the signature.
fn function<'library, F>(
    library: &'library Library,
    name: &str,
) -> Result<Symbol<'library, F>, String> {
    // SAFETY: looking a name up calls nothing.
    let found = unsafe { library.get::<F>(name.as_bytes()) };
    found.map_err(|_| format!("the library has no function {name}"))
}
