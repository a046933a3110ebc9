# Writes OUTPUT, a C file that holds the Lua files SOURCES (separated by commas). Of another
# file, page/template.html, the module clipeval.page.template_html is its text.
string(REPLACE "," ";" SOURCES "${SOURCES}")
set(code "#include \"embedded.h\"\n")
set(table "")
foreach(source ${SOURCES})
    string(REGEX REPLACE "^.*/clipeval/(.*)$" "\\1" stem "${source}")
    string(REGEX REPLACE "\\.lua$" "" stem "${stem}")
    string(REPLACE "." "_" stem "${stem}")
    string(REPLACE "/" "." module "${stem}") # layouts/csv.lua is clipeval.layouts.csv
    string(REPLACE "/" "_" stem "${stem}")
    file(READ ${source} hex HEX)
    if(NOT source MATCHES "\\.lua$")
        string(HEX "return [====[\n" before)
        string(HEX "]====]" after)
        set(hex "${before}${hex}${after}")
    endif()
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
    string(APPEND code "static const unsigned char text_${stem}[] = {\n${bytes}0};\n")
    set(name "clipeval.${module}")
    if(stem STREQUAL "init")
        set(name "clipeval")
    endif()
    string(APPEND table "    {\"${name}\", (const char *)text_${stem}, "
                        "sizeof text_${stem} - 1},\n")
endforeach()
file(WRITE ${OUTPUT} "${code}const ce_embedded ce_embedded_modules[] = {\n${table}    "
                     "{NULL, NULL, 0}};\n")
